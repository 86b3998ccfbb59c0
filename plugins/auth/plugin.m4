dnl SPDX-License-Identifier: Apache-2.0
CHIMERA_PLUGIN([auth], [$have_openssl], [openssl (Debian: libssl-dev)])
