"""A stand-in for the part of CANN that calls op_host."""
