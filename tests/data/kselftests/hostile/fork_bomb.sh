#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# More and more processes. The first one needs no more itself once they are there.
bomb() { bomb | bomb & }
(bomb) &
exec sleep 1000
