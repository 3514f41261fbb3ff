#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# More and more processes.
bomb() { bomb | bomb & }
bomb
wait
sleep 1000
