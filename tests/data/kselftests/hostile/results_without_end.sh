#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Reports one result after the other, each with a name of its own.
i=0
while :; do i=$((i + 1)); echo "ok $i - number $i of them"; done
