#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A case and a message that would rewrite the terminal.
echo "1..1"
printf 'not ok 1 a\033[2J\033]0;owned\007b # \033[1A\033[31mred\n'
