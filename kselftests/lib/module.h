/* SPDX-License-Identifier: GPL-2.0-only */
/* Load and unload a module of the running kernel. */
#ifndef KSELFTESTS_MODULE_H
#define KSELFTESTS_MODULE_H

/* Load a file below /lib/modules/RELEASE/kernel, "drivers/misc/x.ko"; 0 or -errno */
int module_load(const char *file);

/* 0 or -errno: -EAGAIN while somebody uses it */
int module_unload(const char *name);

#endif /* KSELFTESTS_MODULE_H */
