dnl SPDX-License-Identifier: Apache-2.0
dnl plugins/http_client has looked for OpenSSL.
CHIMERA_PLUGIN([idempotency], [$have_openssl], [openssl (Debian: libssl-dev)])
