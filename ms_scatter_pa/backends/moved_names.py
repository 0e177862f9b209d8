"""Names of MindSpore that lie in another module in some release: imported here, and nowhere else in the package."""

try:
    from mindspore.graph import jit_trace
    from mindspore.graph.api import _pynative_executor as pynative_executor
    from mindspore.graph.jit_context import jit_context, set_jit_context
except ImportError:  # before MindSpore 2.9
    from mindspore.common import jit_trace
    from mindspore.common.api import _pynative_executor as pynative_executor
    from mindspore.common.jit_context import jit_context, set_jit_context

__all__ = ["jit_context", "jit_trace", "pynative_executor", "set_jit_context"]
