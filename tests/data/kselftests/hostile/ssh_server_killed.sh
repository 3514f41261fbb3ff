#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Kills what it was started by.
echo "1..1"
echo "ok 1 before"
killall -9 dropbear
sleep 1000
