/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.c - see script.h. The scripts answer one string: '1' done or '0' not done, and what is told. Before that a B if what is told is
 * too long for here: then the value is left out, and nothing was done. Or a letter alone: K the key is of another kind, R out of range,
 * F no room. A value of more than 16 KiB never goes through Lua, which needs ms for what Redis itself does in some us, while all others
 * wait.
 *
 * All numbers are whole and at most 2^53, so that Lua's doubles hold them exactly, and a quotient that is rounded down is the right one.
 */
#include <string.h>

#include <openssl/evp.h>

#include "script.h"

/* An error of a command: a type that is none of ours is another kind; the rest goes to whoever asks. */
#define BAD \
	"local function bad(e) if string.find(e.err,'WRONGTYPE',1,true) then return 'K' end return e end\n"

/* The head of what stands at the key, "" if nothing does. */
#define HEAD \
	"local K=KEYS[1]\n" \
	"local h=redis.pcall('GETRANGE',K,0,25)\n" \
	"if type(h)=='table' then return bad(h) end\n"

/* Milliseconds that are left of a TTL of m: more than that is left only if the clock stepped back. 0: it does not expire. */
#define LEFT \
	"local function left(m)\n" \
	" local t=redis.call('PTTL',K)\n" \
	" if m>0 and t>m then redis.call('PEXPIRE',K,m) t=m end\n" \
	" if t<0 then return 0 elseif t==0 then return 1 end\n" \
	" return t\n" \
	"end\n"

/* What stands there, behind the mark d. */
#define TELL \
	"local function tell(d)\n" \
	" if h=='' then return d end\n" \
	" local r=d..string.sub(h,2,17)..string.format('%.0f',left(tonumber(string.sub(h,18,26),16)))..':'\n" \
	" if redis.call('STRLEN',K)>16410 then return 'B'..r end\n" \
	" return r..redis.call('GETRANGE',K,26,-1)\n" \
	"end\n"

#define ONLY_VALUES \
	"if h~='' and string.sub(h,1,1)~='v' then return 'K' end\n"

static const char get_text[] = BAD HEAD ONLY_VALUES LEFT TELL
	"return tell(h=='' and '0' or '1')\n";

/*
 * ARGV: when (0 always, 1 if absent, 2 if version), version, ttl, what is stored; or instead of that KEYS[2], where it lies already, and is
 * gone behind this.
 */
static const char set_text[] = BAD
	"local function set()\n"
	HEAD ONLY_VALUES LEFT TELL
	"local there,ttl=KEYS[2],ARGV[3]\n"
	"if ARGV[1]=='1' and h~='' or ARGV[1]=='2' and string.sub(h,2,17)~=ARGV[2] then return tell('0') end\n"
	"if not there then\n"
	" if ttl=='0' then redis.call('SET',K,ARGV[4]) else redis.call('SET',K,ARGV[4],'PX',ttl) end\n"
	"else\n"
	" if redis.call('EXISTS',there)==0 then return 'F' end\n"
	" redis.call('RENAME',there,K)\n"
	" if ttl=='0' then redis.call('PERSIST',K) else redis.call('PEXPIRE',K,ttl) end\n"
	"end\n"
	"return '1'\n"
	"end\n"
	"local r=set()\n"
	"if KEYS[2] and r~='1' then redis.call('UNLINK',KEYS[2]) end\n"
	"return r\n";

/* ARGV: when, version */
static const char del_text[] = BAD
	"if ARGV[1]=='0' then return redis.call('UNLINK',KEYS[1])==1 and '1' or '0' end\n"
	HEAD ONLY_VALUES LEFT TELL
	"if string.sub(h,2,17)~=ARGV[2] then return tell('0') end\n"
	"redis.call('UNLINK',K)\n"
	"return '1'\n";

/* ARGV: delta, ttl */
static const char add_text[] = BAD
	"local K=KEYS[1]\n"
	"local h=redis.pcall('GETRANGE',K,0,63)\n"
	"if type(h)=='table' then return bad(h) end\n"
	LEFT
	"local n,t,m,d,M=0,0,ARGV[2],tonumber(ARGV[1]),9007199254740992\n"
	"if h~='' then\n"
	" n,m=string.match(h,'^c(-?%d+):(%d+)$')\n"
	" if not n then return 'K' end\n"
	" n=tonumber(n)\n"
	" t=left(tonumber(m))\n"
	"end\n"
	"if d>0 and n>M-d or d<0 and n<-M-d then return 'R' end\n"
	"n=string.format('%.0f',n+d)\n"
	"if d~=0 then\n"
	" if h~='' then redis.call('SET',K,'c'..n..':'..m,'KEEPTTL')\n"
	" elseif m=='0' then redis.call('SET',K,'c'..n..':0')\n"
	" else redis.call('SET',K,'c'..n..':'..m,'PX',m) t=m end\n"
	"end\n"
	"return '1'..n..':'..t\n";

/*
 * ARGV: t(ake) or s(ettle); for each key: t, burst, cost, refill, token, unit; or h, burst, name, hold (us). A refill of 0 is a limit of 0.
 *
 * A bucket lacks `lack` of its burst * token; each `unit` of time brings `refill`. Time goes on in whole units, so that no fraction is ever
 * counted twice. A clock that steps back by up to a second is taken for one that was read twice, and waited for; a longer step is a new
 * clock, from which it goes on.
 */
static const char take_text[] = BAD
	"local T=redis.call('TIME')\n"
	"local now=T[1]*1000000+T[2]\n"
	"local M,SLACK,floor=9007199254740992,1000000,math.floor\n"
	"local function F(x) return string.format('%.0f',x) end\n"
	"local N=F(now)\n"
	"local function ms(us) return -floor(-us/1000) end\n"

	/* Units until n tokens are there. */
	"local function units(p,n)\n"
	" local over=p.lack-(p.burst-n)*p.token\n"
	" if over<=0 then return 0 end\n"
	" return floor((over-1)/p.refill)+1\n"
	"end\n"
	"local function wait(p,n)\n"
	" local w=units(p,n)\n"
	" if w==0 then return 0 end\n"
	" w=p.unit==1 and ms(w-(now-p.at)) or w-floor((now-p.at)/1000)\n"
	" return w<1 and 1 or w\n"
	"end\n"

	"local function charge(p,n)\n"
	" if n>floor((M-p.lack)/p.token) then p.lack=M else p.lack=p.lack+n*p.token end\n"
	"end\n"
	"local function back(p,n)\n"
	" if n>floor(p.lack/p.token) then p.lack=0 else p.lack=p.lack-n*p.token end\n"
	"end\n"

	/* A bucket as it is now, with the numbers of ARGV. */
	"local function tokens(p,a)\n"
	" local s=redis.pcall('GETRANGE',p.key,0,127)\n"
	" if type(s)=='table' then return bad(s) end\n"
	" p.rate=ARGV[a+3]..':'..ARGV[a+4]..':'..ARGV[a+5]..':'..ARGV[a+1]\n"
	" p.burst,p.cost,p.refill,p.token,p.unit=tonumber(ARGV[a+1]),tonumber(ARGV[a+2]),tonumber(ARGV[a+3]),tonumber(ARGV[a+4]),"
	"tonumber(ARGV[a+5])\n"
	" p.none=p.burst==0 or p.refill==0\n"
	" p.there=s~=''\n"
	" p.lack,p.at=0,now\n"
	" if s=='' then return end\n"
	" local lack,at,rate=string.match(s,'^t(%d+):(%d+):(.*)$')\n"
	" if not lack then return 'K' end\n"
	" lack,at=tonumber(lack),tonumber(at)\n"
	" local refill,token,unit=p.refill,p.token,p.unit\n"
	" if rate~=p.rate then\n"
	"  refill,token,unit=string.match(rate,'^(%d+):(%d+):(%d+):')\n"
	"  refill,token,unit=tonumber(refill),tonumber(token),tonumber(unit)\n"
	" end\n"
	" if now<at then\n"
	"  if at-now>SLACK then at=now p.moved=true end\n"
	" else\n"
	"  local u=floor((now-at)/unit)\n"
	"  if u>floor(lack/refill) then lack=0 at=now else lack=lack-u*refill at=at+u*unit end\n"
	" end\n"
	" p.at=at\n"
	" if p.none or rate==p.rate then p.lack=lack return end\n"
	" p.moved=true\n"
	" local n=floor(lack/token)\n"
	" if n*token<lack then n=n+1 end\n"
	" charge(p,n)\n"
	"end\n"

	/* Holders. A clock that stepped back takes all ends back with it. */
	"local function holders(p,a)\n"
	" p.burst,p.name,p.hold=tonumber(ARGV[a+1]),ARGV[a+2],tonumber(ARGV[a+3])\n"
	" p.none=p.burst==0\n"
	" local z=redis.pcall('ZSCORE',p.key,'')\n"
	" if type(z)=='table' then return bad(z) end\n"
	" p.there=z\n"
	" local seen=z and -tonumber(z) or now\n"
	" p.seen=seen>now and seen or now\n"
	" if seen-now>SLACK then\n"
	"  local v=redis.call('ZRANGE',p.key,0,-1,'WITHSCORES')\n"
	"  for i=1,#v,2 do if v[i]~='' then redis.call('ZADD',p.key,F(v[i+1]-(seen-now)),v[i]) end end\n"
	"  redis.call('ZADD',p.key,'-'..N,'')\n"
	"  p.seen=now\n"
	" end\n"
	"end\n"

	/* How many are inside, when so many of them will have left, and if this one is among them. */
	"local function inside(p)\n"
	" if not p.there then return 0 end\n"
	" return redis.call('ZCOUNT',p.key,'('..N,'+inf')\n"
	"end\n"
	"local function gone(p,n)\n"
	" local v=redis.call('ZRANGEBYSCORE',p.key,'('..N,'+inf','WITHSCORES','LIMIT',n-1,1)\n"
	" return v[2] and ms(v[2]-now) or 0\n"
	"end\n"

	/* passes, left, wait, full of a bucket as it stands. */
	"local function level(p)\n"
	" if p.none then return false,0,-1,0 end\n"
	" if p.token then\n"
	"  local cost=p.cost>0 and p.cost or 0\n"
	"  local w=cost>p.burst and -1 or wait(p,cost)\n"
	"  local room=p.burst*p.token-p.lack\n"
	"  return w==0,room>0 and floor(room/p.token) or 0,w,wait(p,p.burst)\n"
	" end\n"
	" local n=inside(p)\n"
	" local free=n<p.burst and p.burst-n or 0\n"
	" local mine=p.there and redis.call('ZSCORE',p.key,p.name)\n"
	" local ok=free>0 or (mine and tonumber(mine)>now) or false\n"
	" return ok,free,ok and 0 or gone(p,n-p.burst+1),n>0 and gone(p,n) or 0\n"
	"end\n"

	"local function save(p)\n"
	" if p.lack>0 then redis.call('SET',p.key,'t'..F(p.lack)..':'..F(p.at)..':'..p.rate,'PX',F(wait(p,p.burst)))\n"
	" elseif p.there then redis.call('DEL',p.key) end\n"
	"end\n"
	"local function enter(p)\n"
	" redis.call('ZREMRANGEBYSCORE',p.key,0,N)\n"
	" redis.call('ZADD',p.key,F(now+p.hold),p.name,F(-p.seen),'')\n"
	" p.there=true\n"
	" local v=redis.call('ZREVRANGE',p.key,0,0,'WITHSCORES')\n"
	" redis.call('PEXPIRE',p.key,F(ms(v[2]-now)))\n"
	"end\n"
	"local function leave(p)\n"
	" if not p.there then return end\n"
	" redis.call('ZREM',p.key,p.name)\n"
	" if inside(p)==0 then redis.call('DEL',p.key) p.there=false end\n"
	"end\n"

	"local S=ARGV[1]=='s'\n"
	"local P,R,a,all={},{},2,true\n"
	"for i=1,#KEYS do\n"
	" local p={key=KEYS[i]}\n"
	" local e\n"
	" if ARGV[a]=='t' then e=tokens(p,a) a=a+6 else e=holders(p,a) a=a+4 end\n"
	" if e then return e end\n"
	" P[i]=p\n"
	"end\n"
	"for i=1,S and 0 or #P do\n"
	" local ok,left,w,full=level(P[i])\n"
	" all=all and ok\n"
	" R[i]=(ok and '1 ' or '0 ')..F(left)..' '..F(w)..' '..F(full)\n"
	"end\n"
	"for i=1,#P do\n"
	" local p=P[i]\n"
	" if all and not p.none then\n"
	"  if not p.token then if S then leave(p) else enter(p) end\n"
	"  else\n"
	"   if p.cost>0 then charge(p,p.cost) else back(p,-p.cost) end\n"
	"   save(p)\n"
	"  end\n"
	" elseif p.moved and not p.none then save(p) end\n"
	" if all then\n"
	"  local ok,left,w,full=level(p)\n"
	"  R[i]='1 '..F(left)..' 0 '..F(full)\n"
	" end\n"
	"end\n"
	"return (all and '1' or '0')..table.concat(R,' ')\n";

#define SCRIPT(s) { s, sizeof(s) - 1, "" }
struct kr_script kr_scripts[KR_SCRIPTS] = {
	[KR_S_GET] = SCRIPT(get_text),
	[KR_S_SET] = SCRIPT(set_text),
	[KR_S_DEL] = SCRIPT(del_text),
	[KR_S_ADD] = SCRIPT(add_text),
	[KR_S_TAKE] = SCRIPT(take_text),
};

_Bool kr_scripts_init(void)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < KR_SCRIPTS; i++) {
		unsigned char sum[EVP_MAX_MD_SIZE];
		unsigned int n;

		if (EVP_Digest(kr_scripts[i].text, kr_scripts[i].n, sum, &n, EVP_sha1(), NULL) != 1 || n != 20)
			return 0;
		for (unsigned k = 0; k < n; k++) {
			kr_scripts[i].sha[2 * k] = hex[sum[k] >> 4];
			kr_scripts[i].sha[2 * k + 1] = hex[sum[k] & 15];
		}
	}
	return 1;
}
