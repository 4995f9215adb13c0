// What the simt runtime knows: its streams, events and graphs, and the memory that it has handed out.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/simt/memory.h"
#include "kernels/simt/runtime.h"

namespace mcn::simt {

using Work = std::function<void()>;

struct Allocation {
  std::size_t bytes = 0;
  std::uint64_t number = 0;    // no other allocation has it, of before or later at the same address
  bool reserved = false;       // address space only, of dry mode
  SimtGraph* graph = nullptr;  // whose memory it is, as long as the graph lives
  bool live = true;            // where the streams' work is; memory of a graph comes and goes
  bool freed = false;          // where the host is: its free has been asked for
};
using Allocations = std::map<const std::byte*, Allocation>;

/// Memory from before a capture that something in it uses.
struct Use {
  std::string what;  // the kernel or call
  const std::byte* begin;
  Allocation memory;
  bool on_host;
};

/// What a captured operation may read and write.
struct Operands {
  std::string_view what;
  std::vector<const void*> device, host;
};

}  // namespace mcn::simt

struct SimtStream {
  std::deque<mcn::simt::Work> queue;
  unsigned long long put = 0;   // operations ever put on the stream
  unsigned long long done = 0;  // of those, how many have run
  bool running = false;
  int device = 0;
  SimtGraph* capture = nullptr;
};

struct SimtEvent {
  unsigned flags = 0;
  int device = 0;
  SimtStream* stream = nullptr;  // of the latest record
  unsigned long long position = 0;
  const SimtGraph* capture = nullptr;  // that the latest record was a part of
};

struct SimtGraph {
  SimtGraph(std::thread::id by, cudaStreamCaptureMode m) : thread(by), mode(m) {}
  SimtGraph(const SimtGraph&) = delete;
  SimtGraph& operator=(const SimtGraph&) = delete;
  ~SimtGraph();

  // While it is captured.
  const std::thread::id thread;
  const cudaStreamCaptureMode mode;
  bool invalidated = false;

  std::vector<mcn::simt::Work> work;
  std::vector<mcn::simt::Use> uses;
  std::set<std::byte*> memory;  // its allocations, at fixed addresses as long as it lives
  std::set<std::byte*> kept;    // of those, what it does not free
  // Here every allocation has memory of its own. A GPU's graph uses it again, and holds what is live at a time.
  std::size_t live = 0;
  std::size_t held = 0;
};

struct SimtGraphExec {
  std::vector<mcn::simt::Work> work;
  std::vector<mcn::simt::Use> uses;
  bool keeps_memory = false;
  bool launched = false;
};

namespace mcn::simt {

struct Device {
  std::set<SimtStream*> streams;
  Allocations allocations;
  Allocations host;  // page-locked
  std::uint64_t last_allocation = 0;
  std::size_t in_use = 0;
  std::size_t peak = 0;
  std::size_t limit = 0;
  int count = 1;
  Order order = Order::forward;
  std::set<std::string, std::less<>> kernels;
  std::string fault;
  cudaError_t last = cudaSuccess;
  bool dry = false;
  std::vector<LaunchRecord> launches;
};

/// One lock for everything: the layer is for testing. Recursive, because work that runs waits for other streams' work.
std::recursive_mutex& lock();
Device& device();

/// What a call gives back: the error, or the fault that sticks.
cudaError_t result(cudaError_t error);
/// A fault with a text of its own.
cudaError_t fault_of(std::string text);

/// Runs a stream's operations up to a position. After a fault nothing runs, but everything counts as over.
void run_until(SimtStream& stream, unsigned long long position);
/// Puts work on a stream, or into what it captures, which then notes the memory from before that the work uses.
cudaError_t put(SimtStream* stream, Work work, const Operands& operands);
/// Is the stream the current device's, and is its capture, if there is one, still valid?
cudaError_t usable(SimtStream* stream);

/// Gives back what was to be freed when its turn came, where streams have been emptied by a fault.
void release_freed();

/// The allocation that an address lies in, or the end.
Allocations::const_iterator find(const Allocations& allocations, const void* p);

/// cudaErrorStreamCaptureUnsupported where a capture forbids this thread what waits for the device or allocates out of
/// any stream's order; the capture is then invalid. After CUDA's cudaThreadExchangeStreamCaptureMode.
cudaError_t check_capture();
cudaError_t invalidate(SimtGraph& capture, cudaError_t error);
/// Notes what a captured operation uses of the memory from before the capture.
cudaError_t note_uses(SimtGraph& capture, const Operands& operands);

}  // namespace mcn::simt
