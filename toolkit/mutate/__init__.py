"""Whether the tests of a series would notice a fault: its mutants, built and tested one by one."""
