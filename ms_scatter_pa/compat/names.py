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
    "RepeatInterleaveInt",
    "ReshapeAndCache",
    "RmsNorm",
    "SliceExt",
)

# Those that networks with experts, quantized weights or other caches, vision models and sampling call too, and that have
# none here.
MISSING = (
    "ArgSort",
    "BincountExt",
    "DynamicQuantExt",
    "FusedAddTopKDiv",
    "FusedInferAttentionScore",
    "GroupedMatmul",
    "GroupedMatmulV4",
    "KVCacheScatterUpdate",
    "LayerNormExt",
    "LinalgVectorNorm",
    "MoeDistributeCombine",
    "MoeDistributeDispatch",
    "MoeFinalizeRouting",
    "MoeInitRoutingV2",
    "MoeTokenUnpermute",
    "MultinomialExt",
    "PromptFlashAttention",
    "QuantBatchMatmul",
    "RepeatInterleaveTensor",
    "ReshapeView",
    "RotaryPositionEmbedding",
    "SortExt",
    "Swiglu",
    "TopkExt",
    "Unique2",
)
