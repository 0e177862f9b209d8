"""``make_operator`` with MindSpore's Ascend branch of ``ops.Custom``: all of it is Python and g++, so it runs here."""

import os
import shutil
from pathlib import Path

import mindspore as ms
import pytest
from mindspore.ops.operations.custom_ops import Custom

from ms_scatter_pa.backends.ascend import operator as ascend_operator
from ms_scatter_pa.backends.ascend.compile_callback import compile_callback
from ms_scatter_pa.backends.ascend.operator_package import HEADER, LIBRARY
from tests.stand_ins import cann_tree, opbuild


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """An installed package, an environment that names it, and a MindSpore that believes it is on Ascend."""
    cann = cann_tree.make(tmp_path / "cann")
    package = tmp_path / "vendors" / "ms_scatter_pa"
    (package / LIBRARY.parent).mkdir(parents=True)
    (package / LIBRARY).write_text("")
    (package / "op_api" / "include").mkdir()
    (package / "op_api" / "include" / HEADER).write_text(opbuild.header())
    monkeypatch.setenv("ASCEND_OPP_PATH", str(cann / "opp"))
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", str(package))
    monkeypatch.chdir(tmp_path)
    get_context = ms.context.get_context
    monkeypatch.setattr(
        ms.context, "get_context", lambda name: "Ascend" if name == "device_target" else get_context(name)
    )
    for registry in ("registered_func", "attr_dict"):
        monkeypatch.setattr(Custom, registry, {})
    return package


def callback_of(operator) -> Path:
    path, _, name = operator.attrs["custom_callback_func"].partition(":")
    assert name.endswith("MsScatterPaKvCache")
    return Path(path)


def test_the_operator_is_made_and_marked(installed, tmp_path):
    operator = ascend_operator.make_operator()
    assert operator.is_ascend_c and not operator.multi_output
    assert operator.attrs["reg_op_name"] == "MsScatterPaKvCache"
    assert operator.attrs["custom_inputs_type"] == ["aclTensor*"] * 11
    assert operator.attrs["cpp_infer_shape"] and operator.attrs["side_effect_mem"]
    assert callback_of(operator).is_file()
    assert not (tmp_path / "custom_kernel_meta").exists(), "nothing is left in the working folder"
    assert "MS_COMPILER_CACHE_PATH" not in os.environ


def test_a_callback_compiled_ahead_is_not_compiled_again(installed, tmp_path, monkeypatch):
    library = compile_callback(installed, tmp_path / "cann")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("g++ ran"))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("g++ ran"))
    operator = ascend_operator.make_operator()
    assert callback_of(operator).read_bytes() == library.read_bytes()


def test_a_callback_compiled_ahead_serves_where_mindspore_would_not_find_cann(installed, tmp_path, monkeypatch):
    """MindSpore takes what is before the first "opp" of ASCEND_OPP_PATH for CANN's folder, wherever that is."""
    cann = tmp_path / "shopping" / "cann"
    shutil.copytree(tmp_path / "cann", cann)
    monkeypatch.setenv("ASCEND_OPP_PATH", str(cann / "opp"))
    with pytest.raises(RuntimeError, match=r"acl_base\.h"):
        ascend_operator.make_operator()
    compile_callback(installed, cann)
    assert callback_of(ascend_operator.make_operator()).is_file()


def test_a_callback_for_another_header_is_compiled_again(installed, tmp_path):
    library = compile_callback(installed, tmp_path / "cann")
    header = installed / "op_api" / "include" / HEADER
    header.write_text(header.read_text() + "\n")
    library.write_bytes(b"stale")
    assert callback_of(ascend_operator.make_operator()).read_bytes() != b"stale"


def test_a_missing_package_says_what_to_do(installed, monkeypatch):
    monkeypatch.setenv("ASCEND_CUSTOM_OPP_PATH", "/nowhere")
    monkeypatch.setattr(
        "ms_scatter_pa.backends.ascend.operator_package.default_install_path", lambda: installed.parent / "none"
    )
    with pytest.raises(RuntimeError, match=r"not installed .*looked for in: /nowhere.*build-ascend"):
        ascend_operator.make_operator()


def test_an_installed_package_that_is_not_exported_is_named(installed, monkeypatch):
    monkeypatch.delenv("ASCEND_CUSTOM_OPP_PATH")
    monkeypatch.setattr(
        "ms_scatter_pa.backends.ascend.operator_package.default_install_path", lambda: installed.parent.parent
    )
    with pytest.raises(RuntimeError, match=f"export ASCEND_CUSTOM_OPP_PATH={installed}"):
        ascend_operator.make_operator()


def test_packages_among_cann_vendors_are_found_by_their_priority(installed, tmp_path, monkeypatch):
    monkeypatch.delenv("ASCEND_CUSTOM_OPP_PATH")
    vendors = tmp_path / "cann" / "opp" / "vendors"
    shutil.copytree(installed, vendors / "ms_scatter_pa")
    (vendors / "config.ini").write_text("load_priority=other,ms_scatter_pa\n")
    assert callback_of(ascend_operator.make_operator()).is_file()
