"""The operators of MindSpore that attention layers for NPUs call."""

# Those with a kernel here.
BUILTINS = (
    "AddRmsNorm",
    "ApplyRotaryPosEmb",
    "ArgMaxExt",
    "CumsumExt",
    "FlashAttentionScore",
    "IndexSelect",
    "MoveTo",
    "PagedAttention",
    "PagedAttentionMask",
    "QuantV2",
    "ReshapeAndCache",
    "RmsNorm",
)

# Those that networks with experts, quantized weights or other caches call too, and that have none here.
MISSING = (
    "DynamicQuantExt",
    "FusedAddTopKDiv",
    "FusedInferAttentionScore",
    "GroupedMatmul",
    "GroupedMatmulV4",
    "KVCacheScatterUpdate",
    "MoeFinalizeRouting",
    "MoeInitRoutingV2",
    "MoeTokenUnpermute",
    "QuantBatchMatmul",
    "ReshapeView",
    "RotaryPositionEmbedding",
    "Swiglu",
)
