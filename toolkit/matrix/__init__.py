"""Many runs as one: kernels, series, configurations and suites, on one host or on several."""
