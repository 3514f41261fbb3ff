#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A complaint in the kernel's log cannot be told from one of the kernel's.
echo "1..1"
echo "<4>WARNING: CPU: 0 PID: 1 at forged.c:1 forged+0x1/0x2" >/dev/kmsg
echo "ok 1 says_so"
