"""The guest image, QEMU, SSH, snapshots and the pool of machines."""
