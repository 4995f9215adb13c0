// cuBLAS is column-major: row-major c = op(a) op(b) is its c^T = op(b)^T op(a)^T.
#include <cublas_v2.h>

#include <type_traits>

#include "kernels/cuda/cublas/gemm.h"
#include "kernels/cuda/memory.h"
#include "kernels/dynamic_library.h"

namespace mcn::cuda {
namespace {

constexpr std::size_t workspace_bytes = 32 << 20;  // what NVIDIA recommends for an H100

// The functions under the names of the header, some of which are macros.
class Library {
 public:
#define MCN_STRING(text) #text
#define MCN_CUBLAS(name) \
  std::add_pointer_t<decltype(::name)> name = library_.function<decltype(::name)>(MCN_STRING(name))

 private:
  DynamicLibrary library_{"cublas", {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}};

 public:
  MCN_CUBLAS(cublasGetStatusString);
  MCN_CUBLAS(cublasGetProperty);
  MCN_CUBLAS(cublasCreate);
  MCN_CUBLAS(cublasDestroy);
  MCN_CUBLAS(cublasSetStream);
  MCN_CUBLAS(cublasSetWorkspace);
  MCN_CUBLAS(cublasSgemm);
  MCN_CUBLAS(cublasDgemm);
#undef MCN_CUBLAS
#undef MCN_STRING
};

// Never closed: what it has put into the driver would be taken away under other statics.
const Library& library() {
  static const Library& loaded = *new Library;
  return loaded;
}

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail<DeviceError>("cublas", "{} failed: {}", call, library().cublasGetStatusString(status));
}

cublasOperation_t operation(Transpose transpose) { return transpose == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N; }

}  // namespace

struct CublasGemm::Handle {
  explicit Handle(cudaStream_t stream) : workspace(stream, workspace_bytes) {
    check(library().cublasCreate(&handle), "cublasCreate");
    check(library().cublasSetStream(handle, stream), "cublasSetStream");
    // After the stream: setting that takes the workspace away.
    check(library().cublasSetWorkspace(handle, workspace.get(), workspace_bytes), "cublasSetWorkspace");
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { (void)library().cublasDestroy(handle); }

  DeviceArray<unsigned char> workspace;
  cublasHandle_t handle = nullptr;
};

CublasGemm::CublasGemm(cudaStream_t stream) : handle_(std::make_unique<Handle>(stream)) {}
CublasGemm::~CublasGemm() = default;

void CublasGemm::run(Transpose transpose_a, Transpose transpose_b, int m, int n, int k, const float* a, const float* b,
                     float* c, bool accumulate) {
  const float one = 1, beta = accumulate ? 1 : 0;
  check(library().cublasSgemm(handle_->handle, operation(transpose_b), operation(transpose_a), n, m, k, &one, b,
                              transpose_b == Transpose::yes ? k : n, a, transpose_a == Transpose::yes ? m : k, &beta, c,
                              n),
        "cublasSgemm");
}

void CublasGemm::run(Transpose transpose_a, Transpose transpose_b, int m, int n, int k, const double* a,
                     const double* b, double* c, bool accumulate) {
  const double one = 1, beta = accumulate ? 1 : 0;
  check(library().cublasDgemm(handle_->handle, operation(transpose_b), operation(transpose_a), n, m, k, &one, b,
                              transpose_b == Transpose::yes ? k : n, a, transpose_a == Transpose::yes ? m : k, &beta, c,
                              n),
        "cublasDgemm");
}

std::string CublasGemm::version() {
  int major = 0, minor = 0, patch = 0;
  check(library().cublasGetProperty(MAJOR_VERSION, &major), "cublasGetProperty");
  check(library().cublasGetProperty(MINOR_VERSION, &minor), "cublasGetProperty");
  check(library().cublasGetProperty(PATCH_LEVEL, &patch), "cublasGetProperty");
  return fmt::format("{}.{}.{}", major, minor, patch);
}

}  // namespace mcn::cuda
