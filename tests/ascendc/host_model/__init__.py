"""The host model: the Ascend C kernel, compiled unchanged against a host model of the subset it uses, on guarded memory."""
