#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Has the kernel panic.
echo "1..2"
echo "ok 1 before"
sleep 1
echo c >/proc/sysrq-trigger
