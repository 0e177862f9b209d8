"""The aclnn header that CANN's op-build writes for an operator definition, by its published rules.

asc-devkit, tools/build/opbuild/op_aclnn_generator.cpp: an input with an output's name becomes ``<name>Ref`` and is no
longer const (AclnnOpGenCodeFunInputComment, AclnnOpGenFunProtoParam); that output is left out
(AclnnOpGenFunProtoOutputParams); another output is ``<name>Out``. Inputs come first, then attributes, outputs, the
workspace size and the executor.
"""

import re
from collections.abc import Sequence

from ms_scatter_pa.backends.reg_info import ASCEND_OP_NAME
from ms_scatter_pa.rules.table import SCATTER_PA

OUTPUTS = SCATTER_PA.ascend_output_names


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def parameters(inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """The tensors of ``GetWorkspaceSize``, as they are declared."""
    refs = set(inputs) & set(outputs)
    declared = [f"aclTensor *{camel(x)}Ref" if x in refs else f"const aclTensor *{camel(x)}" for x in inputs]
    return declared + [f"const aclTensor *{camel(output)}Out" for output in outputs if output not in refs]


def header(op_name: str = ASCEND_OP_NAME, inputs: Sequence[str] = (), outputs: Sequence[str] = OUTPUTS) -> str:
    """The header's text; ``inputs`` defaults to the operator's."""
    tensors = parameters(inputs or SCATTER_PA.ascend_input_names, outputs)
    guard = f"ACLNN_{snake(op_name).upper()}_H_"
    visible = '__attribute__((visibility("default")))'
    declared = ",\n".join(f"    {x}" for x in [*tensors, "uint64_t *workspaceSize", "aclOpExecutor **executor"])
    return f"""
/*
 * calution: this file was generated automatically do not change it.
*/

#ifndef {guard}
#define {guard}

#include "aclnn/acl_meta.h"

#ifdef __cplusplus
extern "C" {{
#endif

/* function: aclnn{op_name}GetWorkspaceSize
 * parameters :
 * workspaceSize : size of workspace(output).
 * executor : executor context(output).
 */
{visible}
aclnnStatus aclnn{op_name}GetWorkspaceSize(
{declared});

{visible}
aclnnStatus aclnn{op_name}(
    void *workspace,
    uint64_t workspaceSize,
    aclOpExecutor *executor,
    aclrtStream stream);

#ifdef __cplusplus
}}
#endif

#endif
"""
