#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Reboots in the middle.
echo "1..2"
echo "ok 1 before"
sleep 1
reboot -f
