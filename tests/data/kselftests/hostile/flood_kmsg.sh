#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Writes to the kernel's log without end and without its rate limit.
echo on >/proc/sys/kernel/printk_devkmsg
exec yes "<4>flood of the kernel's log" >/dev/kmsg
