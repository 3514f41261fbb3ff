#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes to standard error without end, and a case now and then.
while :; do echo "ok 1 again"; head -c 1000000 /dev/zero >&2; done
