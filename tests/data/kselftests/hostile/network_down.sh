#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Cuts the line to the host.
echo "1..1"
ifconfig eth0 down
echo "ok 1 after"
