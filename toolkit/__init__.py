"""Build, boot and test Linux kernel patch series, KVM's above all."""

__version__ = "0.3.0.dev0"
