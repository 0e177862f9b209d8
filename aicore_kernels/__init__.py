"""The Ascend C operator's sources, and what builds and installs them."""
