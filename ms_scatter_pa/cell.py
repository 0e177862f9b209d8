"""The operator as a Cell that holds the caches of one layer."""

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from .backends import backend
from .backends.graph import HeldParameters, graph_backend, in_graph, refuse_view
from .rules.options import check_modes, check_parameter
from .rules.table import SCATTER_PA
from .status import read_status


class ScatterPaKvCache(nn.Cell):  # type: ignore[misc]
    """Holds a layer's two paged caches and writes them in place.

    The Parameters are borrowed, never copied: the same ones may be given to several Cells (prefill and decode), and
    ``ms_scatter_pa.cache.make_cache`` makes them. A deep copy of the Cell owns copies of its caches.

    Args:
        key_cache: Parameter of one of the layouts of ``npu_scatter_pa_kv_cache``. In PyNative its blocks may lie apart: after
            ``set_data(pool[:, 0])`` it is that view, while ``Parameter(pool[:, 0])`` is MindSpore's copy. A graph refuses it.
        value_cache: Parameter, or None for a key-only cache (MLA).
        cache_mode, scatter_mode, on_error, check_duplicates: as ``npu_scatter_pa_kv_cache``.

    Inputs:
        key, value, slot_mapping, and for Alibi, Rope and Omni compress_lens, compress_seq_offsets, seq_lens.

    Outputs:
        The status, int64 Tensor [4].

    Raises:
        TypeError: a cache that is not a Parameter. MindSpore cannot hold float8 and hifloat8 Parameters on CPU: pass
            such caches, as Tensors, to ``npu_scatter_pa_kv_cache``.
        ValueError: an unknown mode.

    With ``on_error="record"`` the Cell keeps its last bad status until ``clear_status``: ``last_status`` holds the
    numbers and ``read_last_status`` says them in a sentence.

    Example:
        >>> import numpy as np
        >>> from mindspore import Parameter, Tensor
        >>> from ms_scatter_pa import ScatterPaKvCache
        >>> key_cache = Parameter(Tensor(np.zeros((3, 2, 1, 4), np.float16)), name="key_cache")
        >>> write = ScatterPaKvCache(key_cache, cache_mode="Norm")
        >>> status = write(Tensor(np.ones((1, 1, 4), np.float16)), None, Tensor([5]))
        >>> float(key_cache.asnumpy()[2, 1].sum())
        4.0
    """

    def __init__(
        self,
        key_cache: Any,
        value_cache: Any = None,
        *,
        cache_mode: str | None = None,
        scatter_mode: str | None = None,
        on_error: str = "raise",
        check_duplicates: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        for name, cache in (("key_cache", key_cache), ("value_cache", value_cache)):
            if cache is not None or name == "key_cache":
                check_parameter(name, cache, SCATTER_PA)
        check_modes(cache_mode, scatter_mode, on_error, check_duplicates)
        self.key_cache = key_cache
        self.value_cache = value_cache
        self.held = HeldParameters(self._params)
        self.cache_mode = cache_mode
        self.scatter_mode = scatter_mode
        self.on_error = on_error
        self.check_duplicates = check_duplicates
        self.last_status = None
        if on_error == "record":
            name = f"{key_cache.name}.last_status"
            self.last_status = Parameter(Tensor(np.zeros(4, np.int64)), name=name, requires_grad=False)

    def construct(
        self,
        key: Any,
        value: Any,
        slot_mapping: Any,
        compress_lens: Any = None,
        compress_seq_offsets: Any = None,
        seq_lens: Any = None,
    ) -> Any:
        """Writes the rows; see ``npu_scatter_pa_kv_cache``."""
        if in_graph():
            refuse_view(self.held.view, SCATTER_PA.name)
            caches = (self.key_cache, self.value_cache)
            modes = (self.cache_mode, self.scatter_mode, self.on_error, self.check_duplicates)
            lengths = (compress_lens, compress_seq_offsets, seq_lens)
            return graph_backend.call(key, value, *caches, slot_mapping, *lengths, *modes, self.last_status)
        return self._write_eagerly(key, value, slot_mapping, compress_lens, compress_seq_offsets, seq_lens)

    def _write_eagerly(
        self, key: Any, value: Any, slot_mapping: Any, compress_lens: Any, compress_seq_offsets: Any, seq_lens: Any
    ) -> Any:
        parameters = self._params  # a Cell's attribute access looks for a Parameter last, which costs a microsecond
        return backend().eager(
            key,
            value,
            parameters["key_cache"],
            parameters.get("value_cache"),
            slot_mapping,
            compress_lens,
            compress_seq_offsets,
            seq_lens,
            self.cache_mode,
            self.scatter_mode,
            self.on_error,
            self.check_duplicates,
            parameters.get("last_status"),
        )

    def read_last_status(self) -> str:
        """The last bad status in words, or "written" when there was none since ``clear_status``.

        Raises:
            ValueError: the Cell does not record.
        """
        return read_status(self._recorded())

    def clear_status(self) -> None:
        """Forgets the last bad status.

        Raises:
            ValueError: the Cell does not record.
        """
        self._recorded().set_data(Tensor(np.zeros(4, np.int64)))

    def _recorded(self) -> Any:
        if self.last_status is None:
            raise ValueError("on_error: given 'raise', expected 'record': only a Cell that records has a last status")
        return self.last_status
