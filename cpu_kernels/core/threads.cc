#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mssp {
namespace {

// How long an idle worker looks for the next job before it sleeps: waking it costs more than a decode step.
constexpr std::chrono::microseconds kIdleSpin{50};

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  void (*work)(void*);
  void* context;
};

class Worker {
 public:
  // Throws when the system gives no thread, or no memory for it.
  void Start() {
    // Signals belong to the threads of the application.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { Loop(); }).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  // A sleeping worker is woken only for a job that is worth it.
  void Post(const Job* job, bool wake) {
    if (!wake && asleep_.load()) return;
    job_ = job;
    state_.store(kPosted);
    if (!asleep_.load()) return;
    LeaveProcessorOfCaller();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_one();
  }

  // Takes the job back if it has not begun, else waits for its end.
  void Finish() {
    int expected = kPosted;
    if (state_.compare_exchange_strong(expected, kIdle)) return;
    for (int i = 0; i < 1000; ++i) {
      if (state_.load(std::memory_order_acquire) == kIdle) return;
      Pause();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    awaited_.store(true);
    done_.wait(lock, [this] { return state_.load() == kIdle; });
    awaited_.store(false);
  }

 private:
  enum State { kIdle, kPosted, kRunning };

  // Systems that do not see which processors share a cache (virtual machines, often) wake a thread where it ran last,
  // which may be where the caller runs now; one would then wait for the other.
  void LeaveProcessorOfCaller() {
#if defined(__linux__)
    const int processor = sched_getcpu();
    cpu_set_t allowed;
    if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
    if (thread_ == 0 || CPU_COUNT(&allowed) < 2) return;  // the caller is bound to its processor
    CPU_CLR(processor, &allowed);
    if (CPU_EQUAL(&allowed, &placed_)) return;
    placed_ = allowed;
    sched_setaffinity(thread_, sizeof(allowed), &allowed);  // may fail: anywhere is correct too
#endif
  }

  void Loop() {
#if defined(__linux__)
    thread_ = static_cast<pid_t>(syscall(SYS_gettid));
#endif
    for (;;) {
      WaitForJob();
      int expected = kPosted;
      if (!state_.compare_exchange_strong(expected, kRunning)) continue;  // taken back
      job_->work(job_->context);
      state_.store(kIdle);
      if (!awaited_.load()) continue;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
      }
      done_.notify_one();
    }
  }

  void WaitForJob() {
    const auto deadline = std::chrono::steady_clock::now() + kIdleSpin;
    do {
      for (int i = 0; i < 32; ++i) {
        if (state_.load(std::memory_order_acquire) == kPosted) return;
        Pause();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    wake_.wait(lock, [this] { return state_.load() == kPosted; });
    asleep_.store(false);
  }

  std::atomic<int> state_{kIdle};
  std::atomic<bool> asleep_{false};
  std::atomic<bool> awaited_{false};
  const Job* job_ = nullptr;
#if defined(__linux__)
  std::atomic<pid_t> thread_{0};
  cpu_set_t placed_{};
#endif
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
};

// Never destroyed: its threads sleep until the process ends.
class Pool {
 public:
  void Run(int num_threads, bool wake, const Job& job) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return job.work(job.context);
    const int workers = Grow(num_threads - 1);
    // Calls that follow one another at once keep the workers awake.
    if (!wake) wake = std::chrono::steady_clock::now() - last_end_ < kIdleSpin;
    for (int i = 0; i < workers; ++i) workers_[i]->Post(&job, wake);
    job.work(job.context);
    for (int i = 0; i < workers; ++i) workers_[i]->Finish();
    last_end_ = std::chrono::steady_clock::now();
  }

 private:
  int Grow(int wanted) {
    for (; count_ < wanted; ++count_) {
      auto* worker = new (std::nothrow) Worker;
      if (worker == nullptr) break;
      try {
        worker->Start();
      } catch (const std::exception&) {  // std::bad_alloc too
        delete worker;
        break;
      }
      workers_[count_] = worker;
    }
    return std::min(wanted, count_);
  }

  std::mutex mutex_;
  std::chrono::steady_clock::time_point last_end_{};
  Worker* workers_[kMaxThreads];
  int count_ = 0;
};

std::atomic<Pool*> pool{nullptr};

// The parent's threads do not exist in the child, and its locks may be held for ever.
void ForgetPool() { pool.store(nullptr); }

// nullptr where there is no memory for it.
Pool* GetPool() {
  Pool* current = pool.load(std::memory_order_acquire);
  if (current != nullptr) return current;
  static const int registered = pthread_atfork(nullptr, nullptr, ForgetPool);
  (void)registered;
  Pool* const made = new (std::nothrow) Pool;
  if (made == nullptr || pool.compare_exchange_strong(current, made)) return made;
  delete made;
  return current;
}

// 0 when the text is no positive number. OMP_NUM_THREADS may be a list: its first number counts.
int ParseNumThreads(const char* text) {
  return text == nullptr ? 0 : static_cast<int>(std::clamp(std::strtol(text, nullptr, 10), 0L, long{kMaxThreads}));
}

// OMP_NUM_THREADS as the process was started with: MindSpore sets it to 1 in its own process when it is imported, which
// says nothing about what the user wants.
int NumThreadsForOpenMp() {
#if defined(__linux__)
  constexpr char kName[] = "OMP_NUM_THREADS=";
  try {
    std::ifstream file("/proc/self/environ", std::ios::binary);
    for (std::string entry; std::getline(file, entry, '\0');) {
      if (entry.rfind(kName, 0) == 0) return ParseNumThreads(entry.c_str() + sizeof(kName) - 1);
    }
    if (file.eof()) return 0;
  } catch (const std::exception&) {  // no memory for a variable
    return ParseNumThreads(std::getenv("OMP_NUM_THREADS"));
  }
#endif
  return ParseNumThreads(std::getenv("OMP_NUM_THREADS"));
}

int NumProcessors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int NumThreadsFromSystem() {
  int number = ParseNumThreads(std::getenv("MS_SCATTER_PA_NUM_THREADS"));
  if (number == 0) number = NumThreadsForOpenMp();
  return number > 0 ? number : std::min(NumProcessors(), kMaxThreads);
}

std::atomic<int> default_num_threads{0};

}  // namespace

int DefaultNumThreads() {
  int number = default_num_threads.load(std::memory_order_relaxed);
  if (number > 0) return number;
  number = NumThreadsFromSystem();
  default_num_threads.store(number, std::memory_order_relaxed);
  return number;
}

void SetNumThreads(int num_threads) {
  default_num_threads.store(std::clamp(num_threads, 0, kMaxThreads), std::memory_order_relaxed);
}

void RunOnThreads(const Team& team, void (*work)(void* context), void* context) {
  const int num_threads = std::min(team.num_threads, kMaxThreads);
  if (num_threads <= 1) return work(context);
  Pool* const current = GetPool();
  if (current == nullptr) return work(context);
  current->Run(num_threads, team.wake, Job{work, context});
}

}  // namespace mssp
