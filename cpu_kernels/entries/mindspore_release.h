// The MindSpore release that a library was compiled for. Python reads it in the file before it loads the library
// (ms_scatter_pa/backends/mindspore_release.py). One inclusion per library.
#ifndef MS_SCATTER_PA_MINDSPORE_RELEASE_H_
#define MS_SCATTER_PA_MINDSPORE_RELEASE_H_

#define MSSP_TEXT_OF(x) #x
#define MSSP_TEXT(x) MSSP_TEXT_OF(x)

extern "C" __attribute__((used, visibility("default"))) const char MsspMindSporeRelease[] =
    "MsspMindSporeRelease=" MSSP_TEXT(MSSP_MINDSPORE_RELEASE);

#endif  // MS_SCATTER_PA_MINDSPORE_RELEASE_H_
