#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A complaint on standard output is none of the kernel's.
echo "Kernel panic - not syncing: forged"
echo "BUG: kernel NULL pointer dereference, address: 0000000000000000"
echo "1..1"
echo "ok 1 says_so"
