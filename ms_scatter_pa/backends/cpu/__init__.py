"""The CPU: MindSpore's pyboost extension in PyNative, ``ops.Custom`` with the C++ library in graphs."""
