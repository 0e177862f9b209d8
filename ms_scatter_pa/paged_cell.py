"""The operators beside the write as Cells that hold the caches of one layer."""

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from .backends import backend, needed
from .backends.graph import HeldParameters, graph_backend, in_graph, refuse_view
from .rules.options import check_parameter
from .rules.paged_options import check_gather_modes, check_quant_modes
from .rules.table import OPERATORS
from .status import read_status

_OPERATORS = {operator.name: operator for operator in OPERATORS}


class _Recording(nn.Cell):  # type: ignore[misc]
    """A Cell that keeps its last bad status where it records."""

    _operator = ""

    def _keep(self, caches: dict[str, Any], required: str, on_error: str) -> None:
        for name, cache in caches.items():
            if cache is not None or name == required:
                check_parameter(name, cache, _OPERATORS[self._operator])
            setattr(self, name, cache)
        self.held = HeldParameters(self._params)
        self.on_error = on_error
        self.last_status = None
        if on_error == "record":
            name = f"{caches[required].name}.last_status_of_{self._operator}"
            self.last_status = Parameter(Tensor(np.zeros(4, np.int64)), name=name, requires_grad=False)

    def read_last_status(self) -> str:
        """The last bad status in words, or "written" when there was none since ``clear_status``.

        Raises:
            ValueError: the Cell does not record.
        """
        return read_status(self._recorded(), operator=self._operator)

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


class GatherPaKvCache(_Recording):
    """Holds a layer's two paged caches and reads rows back from them, bit for bit.

    It does not dequantise. For that give the caches of a Cell to the function, ``npu_gather_pa_kv_cache``.

    Args:
        key_cache: Parameter; see ``npu_gather_pa_kv_cache``.
        value_cache: Parameter, or None.
        cache_mode, is_seq_lens_cumsum, on_error: as ``npu_gather_pa_kv_cache``.

    Inputs:
        block_tables, seq_lens, key, value and, if there is one, seq_offset. key and value are written in place; in a graph
        read them through ``ops.depend(key, status)``.

    Outputs:
        The status, int64 Tensor [4].

    Raises:
        TypeError: a cache that is not a Parameter. float8 and hifloat8 caches are no Parameters on the CPU: pass them to
            ``npu_gather_pa_kv_cache``.
        ValueError: an unknown mode.

    With ``on_error="record"`` it keeps its last bad status as ``ScatterPaKvCache`` does (``read_last_status``,
    ``clear_status``).

    Example:
        >>> import numpy as np
        >>> from mindspore import Parameter, Tensor
        >>> from ms_scatter_pa import GatherPaKvCache
        >>> key_cache = Parameter(Tensor(np.arange(8, dtype=np.float16).reshape(4, 2, 1, 1)), name="key_cache")
        >>> key = Tensor(np.zeros((2, 1, 1), np.float16))
        >>> status = GatherPaKvCache(key_cache, cache_mode="Norm")(Tensor([[3]]), Tensor([2]), key, None)
        >>> key.asnumpy().reshape(-1).tolist()
        [6.0, 7.0]
    """

    _operator = "npu_gather_pa_kv_cache"

    def __init__(
        self,
        key_cache: Any,
        value_cache: Any = None,
        *,
        cache_mode: str | None = None,
        is_seq_lens_cumsum: bool = False,
        on_error: str = "raise",
    ) -> None:
        super().__init__(auto_prefix=False)
        check_gather_modes(is_seq_lens_cumsum, cache_mode, on_error)
        self._keep({"key_cache": key_cache, "value_cache": value_cache}, "key_cache", on_error)
        self.cache_mode = cache_mode
        self.is_seq_lens_cumsum = is_seq_lens_cumsum

    def construct(self, block_tables: Any, seq_lens: Any, key: Any, value: Any, seq_offset: Any = None) -> Any:
        """Reads the rows; see ``npu_gather_pa_kv_cache``."""
        caches = (self.key_cache, self.value_cache)
        scales = (None, None, None, None, None, None)
        modes = (self.is_seq_lens_cumsum, self.cache_mode, self.on_error)
        if in_graph():
            refuse_view(self.held.view, self._operator)
            return graph_backend.gather(
                *caches, block_tables, seq_lens, key, value, seq_offset, *scales, *modes, self.last_status
            )
        return needed(backend().gather_eager, "npu_gather_pa_kv_cache")(
            *caches, block_tables, seq_lens, key, value, seq_offset, *scales, *modes, self.last_status
        )


class QuantScatterPaKvCache(_Recording):
    """Holds a layer's two paged caches of 8 bits, and their scale caches if it has them, and writes them in place.

    Args:
        key_cache: int8 Parameter; see ``quant_scatter_pa_kv_cache``.
        value_cache: Parameter, or None.
        key_scale_cache: float32 Parameter, or None. With it K has a scale for each token and head, computed or given;
            without it K has static scales, or is copied.
        value_scale_cache: as ``key_scale_cache``.
        cache_mode, on_error, check_duplicates: as ``quant_scatter_pa_kv_cache``.

    Inputs:
        key, value, slot_mapping, and where there are some: key_scale, value_scale, key_offset, value_offset.

    Outputs:
        The status, int64 Tensor [4].

    Raises:
        TypeError: a cache that is not a Parameter. float8 caches are no Parameters on the CPU: pass them to
            ``quant_scatter_pa_kv_cache``.
        ValueError: an unknown mode.

    With ``on_error="record"`` it keeps its last bad status as ``ScatterPaKvCache`` does (``read_last_status``,
    ``clear_status``).

    Example:
        >>> import numpy as np
        >>> from mindspore import Parameter, Tensor
        >>> from ms_scatter_pa import QuantScatterPaKvCache
        >>> key_cache = Parameter(Tensor(np.zeros((1, 2, 1, 2), np.int8)), name="key_cache")
        >>> scales = Parameter(Tensor(np.zeros((1, 2, 1), np.float32)), name="key_scale_cache")
        >>> write = QuantScatterPaKvCache(key_cache, key_scale_cache=scales, cache_mode="Norm")
        >>> status = write(Tensor(np.array([[[1.0, -2.54]]], np.float32)), None, Tensor([1]))
        >>> key_cache.asnumpy()[0, 1, 0].tolist()
        [50, -127]
    """

    _operator = "quant_scatter_pa_kv_cache"

    def __init__(
        self,
        key_cache: Any,
        value_cache: Any = None,
        *,
        key_scale_cache: Any = None,
        value_scale_cache: Any = None,
        cache_mode: str | None = None,
        on_error: str = "raise",
        check_duplicates: bool = False,
    ) -> None:
        super().__init__(auto_prefix=False)
        check_quant_modes(cache_mode, on_error, check_duplicates)
        caches = {"key_cache": key_cache, "value_cache": value_cache}
        caches |= {"key_scale_cache": key_scale_cache, "value_scale_cache": value_scale_cache}
        self._keep(caches, "key_cache", on_error)
        self.cache_mode = cache_mode
        self.check_duplicates = check_duplicates

    def construct(
        self,
        key: Any,
        value: Any,
        slot_mapping: Any,
        key_scale: Any = None,
        value_scale: Any = None,
        key_offset: Any = None,
        value_offset: Any = None,
    ) -> Any:
        """Writes the rows; see ``quant_scatter_pa_kv_cache``."""
        caches = (self.key_cache, self.value_cache)
        scales = (key_scale, value_scale, key_offset, value_offset, self.key_scale_cache, self.value_scale_cache)
        modes = (self.cache_mode, self.on_error, self.check_duplicates)
        if in_graph():
            refuse_view(self.held.view, self._operator)
            return graph_backend.quant(key, value, *caches, slot_mapping, *scales, *modes, self.last_status)
        return needed(backend().quant_eager, "quant_scatter_pa_kv_cache")(
            key, value, *caches, slot_mapping, *scales, *modes, self.last_status
        )
