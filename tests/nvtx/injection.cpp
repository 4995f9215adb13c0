// A profiler of NVTX ranges, as small as one can be: a library that NVTX_INJECTION64_PATH names, and that writes each
// push and pop of a range as a line "THREAD + DOMAIN NAME" or "THREAD -" to the file that MCN_NVTX_LOG names.
#include <nvtx3/nvToolsExt.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct Domain {
  std::string name;
};

std::mutex& mutex() {
  static auto& m = *new std::mutex;
  return m;
}

std::FILE* log_file() {
  static std::FILE* const file = std::fopen(std::getenv("MCN_NVTX_LOG"), "w");
  return file;
}

int thread_number() {
  static std::atomic<int> next{0};
  thread_local const int number = next++;
  return number;
}

nvtxDomainHandle_t create_domain(const char* name) { return reinterpret_cast<nvtxDomainHandle_t>(new Domain{name}); }

int push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* event) {
  const std::lock_guard lock(mutex());
  std::fprintf(log_file(), "%d + %s %s\n", thread_number(), reinterpret_cast<Domain*>(domain)->name.c_str(),
               event->message.ascii);
  std::fflush(log_file());
  return 0;
}

int pop(nvtxDomainHandle_t) {
  const std::lock_guard lock(mutex());
  std::fprintf(log_file(), "%d -\n", thread_number());
  std::fflush(log_file());
  return 0;
}

template <class Callback>
void install(NvtxFunctionTable table, unsigned int size, int id, Callback callback) {
  if (static_cast<unsigned int>(id) < size && table[id] != nullptr)
    *table[id] = reinterpret_cast<NvtxFunctionPointer>(callback);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  if (callbacks == nullptr || std::getenv("MCN_NVTX_LOG") == nullptr || log_file() == nullptr) return 0;
  NvtxFunctionTable table = nullptr;
  unsigned int size = 0;
  if (callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) return 0;
  install(table, size, NVTX_CBID_CORE2_DomainCreateA, create_domain);
  install(table, size, NVTX_CBID_CORE2_DomainRangePushEx, push);
  install(table, size, NVTX_CBID_CORE2_DomainRangePop, pop);
  return 1;
}
