// Worker threads: made at the first call that is large enough, never when the library is loaded, and again in a forked
// child.
#ifndef MS_SCATTER_PA_CORE_THREADS_H_
#define MS_SCATTER_PA_CORE_THREADS_H_

namespace mssp {

inline constexpr int kMaxThreads = 256;

// The number of threads for calls that name none: SetNumThreads, else MS_SCATTER_PA_NUM_THREADS, else the
// OMP_NUM_THREADS that the process was started with, else the processors that it may run on.
int DefaultNumThreads();

// 0 goes back to the environment.
void SetNumThreads(int num_threads);

struct Team {
  int num_threads;
  bool wake;  // workers that are asleep too, which takes them about as long as copying a megabyte
};

// Runs `work(context)` on the caller and on up to team.num_threads - 1 workers at once and returns when all of them
// have returned. `work` shares its work out by itself: a worker that is still asleep when the caller has finished takes
// no part. While another thread holds the workers the caller works alone.
void RunOnThreads(const Team& team, void (*work)(void* context), void* context);

template <typename Work>
void RunOnThreads(const Team& team, const Work& work) {
  RunOnThreads(
      team, [](void* context) { (*static_cast<const Work*>(context))(); },
      const_cast<void*>(static_cast<const void*>(&work)));
}

}  // namespace mssp

#endif  // MS_SCATTER_PA_CORE_THREADS_H_
