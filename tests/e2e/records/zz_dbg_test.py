import sys,time
sys.path.insert(0,'/work/main/tests/e2e/records')
import chimera as kit, ledger, servers, test_kill
def test_dbg(tmp_path, plugins):
    rng = kit.seeded()
    with servers.Postgres(log_connections="on") as pg, servers.ClickHouse() as ch:
        c = kit.Chimera(tmp_path, plugins)
        sinks = [ledger.SQLite(c.state), ledger.Postgres(pg), ledger.ClickHouse(ch)]
        port = kit.free_port()
        c.write(ledger.sections(plugins, *(s.config() for s in sinks), server={"listen": f"127.0.0.1:{port}"}, log={"access":"errors"}))
        load = ledger.Load(("127.0.0.1", port))
        trouble = test_kill.Trouble(rng, [pg,ch])
        try:
            for n in range(6):
                c.start(wait=n==0)
                time.sleep(rng.uniform(0.3,2.5))
                if rng.random()<.75: c.kill(); how="kill"
                else: c.wait_ready(); c.stop(); how="term"
                print(n,how,len(load.answered),trouble.done); trouble.done.clear()
            trouble.calm(); answered=load.stop(); c.start(); ledger.wait_shipped(c); print([m for m in c.metrics() if m[0]=="chimera_ledger_lost_total" and m[2]]); c.stop()
            
            a={r["row_id"]:r for r in sinks[0].rows()}; b={r["row_id"]:r for r in sinks[1].rows()}
            ids=sorted(a, key=lambda i:a[i]["row_id"])
            lost=[i for i in ids if i not in b]
            print("lost",len(lost),"of",len(a), len(b))
            bad=[i for i in ids if i in b and a[i]!=b[i]]
            print('differ',len(bad))
            for i in bad[:2]+bad[-2:]: print(a[i]); print(b[i])
            lost=lost or bad
            # runs
            run=0; prev=None
            for k,i in enumerate(ids):
                if i not in b:
                    if prev!=k-1: print("run starts at",k,a[i]["time"])
                    prev=k
                elif prev==k-1 and prev is not None: print("run ends at",k)
            open("/tmp/records/pg.log","w").write(pg.log)
            open("/tmp/records/ch.log","w").write(c.stderr())
        finally:
            load.stop(); trouble.end(); c.kill()
    assert not lost
