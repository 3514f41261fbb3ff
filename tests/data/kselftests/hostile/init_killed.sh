#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Asks process 1 to go, which takes the machine down.
echo "1..2"
echo "ok 1 before"
sleep 1
kill -TERM 1
sleep 1000
