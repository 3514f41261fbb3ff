#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Leaves a child that holds standard output.
echo "1..1"
echo "ok 1 fine"
sleep 1000 &
