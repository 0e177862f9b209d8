// CANN versions that know the 950 parts have a header of this name; op_host asks whether it is there, and no more.
#ifndef MS_SCATTER_PA_STAND_IN_GRAPH_C_TYPES_H_
#define MS_SCATTER_PA_STAND_IN_GRAPH_C_TYPES_H_
#endif  // MS_SCATTER_PA_STAND_IN_GRAPH_C_TYPES_H_
