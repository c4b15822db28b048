// The kernels that training and generation cannot do without: `contiguous` and `strided_copy` have no
// CPU fallback in Paddle; `full`, `fill` and `index_select_grad` would write to device memory from the
// host (a fault of the fallback); `embedding_grad` would leave the gradient on the CPU. All else falls
// back to the CPU's kernels.
#include <algorithm>
#include <vector>
#define PADDLE_WITH_CUSTOM_DEVICE
#include "paddle/phi/backends/custom/custom_context.h"
#include "paddle/phi/common/int_array.h"
#include "paddle/phi/common/scalar.h"
#include "paddle/phi/core/kernel_registry.h"

extern "C" void* nulldev_real(const void*);  // device address -> readable alias

namespace nulldev {
template <typename T>
T* R(const T* p) { return static_cast<T*>(nulldev_real(p)); }

template <typename F>  // calls f(linear index, strided offset)
void Walk(const phi::DDim& dims, const phi::DDim& st, F f) {
  int64_t n = phi::product(dims);
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, off = 0;
    for (int d = dims.size() - 1; d >= 0; --d) {
      off += rest % dims[d] * st[d];
      rest /= dims[d];
    }
    f(i, off);
  }
}

template <typename T, typename Context>
void ContiguousKernel(const Context& ctx, const phi::DenseTensor& x, phi::DenseTensor* out) {
  auto meta = out->meta();
  meta.strides = meta.calc_strides(out->dims());
  out->set_meta(meta);
  T* dst = R(ctx.template Alloc<T>(out));
  const T* src = R(x.data<T>());
  Walk(x.dims(), x.strides(), [&](int64_t i, int64_t off) { dst[i] = src[off]; });
}

template <typename T, typename Context>
void StridedCopyKernel(const Context& ctx, const phi::DenseTensor& x,
                       const std::vector<int64_t>& dims, const std::vector<int64_t>& strides,
                       int64_t offset, phi::DenseTensor* out) {
  auto meta = out->meta();
  meta.strides = phi::make_ddim(strides);
  meta.dims = phi::make_ddim(dims);
  meta.offset = offset;
  out->set_meta(meta);
  T* dst = R(out->data<T>());
  const T* src = R(x.data<T>());
  std::vector<int64_t> from;
  Walk(x.dims(), x.strides(), [&](int64_t, int64_t off) { from.push_back(off); });
  Walk(out->dims(), out->strides(), [&](int64_t i, int64_t off) { dst[off] = src[from[i]]; });
}

template <typename T, typename Context>
void FullKernel(const Context& ctx, const phi::IntArray& shape, const phi::Scalar& value,
                phi::DataType, phi::DenseTensor* out) {
  out->Resize(phi::make_ddim(shape.GetData()));
  T* dst = R(ctx.template Alloc<T>(out));
  std::fill(dst, dst + out->numel(), value.to<T>());
}

template <typename T, typename Context>
void FillKernel(const Context& ctx, const phi::DenseTensor& x, const phi::Scalar& value,
                phi::DenseTensor* out) {
  T* dst = R(ctx.template Alloc<T>(out));
  T v = value.to<T>();
  Walk(out->dims(), out->strides(), [&](int64_t, int64_t off) { dst[off] = v; });
}

template <typename T, typename Context>
void EmbeddingGradKernel(const Context& ctx, const phi::DenseTensor& ids,
                         const phi::DenseTensor& weight, const phi::DenseTensor& out_grad,
                         int64_t padding, phi::DenseTensor* weight_grad) {
  weight_grad->Resize(weight.dims());
  T* dst = R(ctx.template Alloc<T>(weight_grad));
  std::fill(dst, dst + weight_grad->numel(), T(0));
  const T* src = R(out_grad.data<T>());
  int64_t width = weight.dims()[1];
  bool wide = ids.dtype() == phi::DataType::INT64;
  for (int64_t i = 0; i < ids.numel(); ++i) {
    int64_t id = wide ? R(ids.data<int64_t>())[i] : R(ids.data<int>())[i];
    if (id == padding) continue;
    for (int64_t j = 0; j < width; ++j) dst[id * width + j] += src[i * width + j];
  }
}

template <typename T, typename Context>
void IndexSelectGradKernel(const Context& ctx, const phi::DenseTensor& x,
                           const phi::DenseTensor& index, const phi::DenseTensor& out_grad,
                           int dim, phi::DenseTensor* x_grad) {
  x_grad->Resize(x.dims());
  T* dst = R(ctx.template Alloc<T>(x_grad));
  std::fill(dst, dst + x_grad->numel(), T(0));
  const T* src = R(out_grad.data<T>());
  if (dim < 0) dim += x.dims().size();
  int64_t outer = 1, inner = 1, size = x.dims()[dim], picked = index.numel();
  for (int d = 0; d < dim; ++d) outer *= x.dims()[d];
  for (int d = dim + 1; d < x.dims().size(); ++d) inner *= x.dims()[d];
  bool wide = index.dtype() == phi::DataType::INT64;
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < picked; ++i) {
      int64_t at = wide ? R(index.data<int64_t>())[i] : R(index.data<int>())[i];
      if (at < 0) at += size;
      T* to = dst + (o * size + at) * inner;
      const T* from = src + (o * picked + i) * inner;
      for (int64_t j = 0; j < inner; ++j) to[j] += from[j];
    }
}
}  // namespace nulldev

#define ALL_TYPES float, double, bool, uint8_t, int8_t, int16_t, int, int64_t, \
                  phi::dtype::float16, phi::dtype::bfloat16
PD_REGISTER_PLUGIN_KERNEL(contiguous, nulldev, ALL_LAYOUT, nulldev::ContiguousKernel, ALL_TYPES) {}
PD_REGISTER_PLUGIN_KERNEL(strided_copy, nulldev, ALL_LAYOUT, nulldev::StridedCopyKernel, ALL_TYPES) {}
PD_REGISTER_PLUGIN_KERNEL(full, nulldev, ALL_LAYOUT, nulldev::FullKernel, ALL_TYPES) {}
PD_REGISTER_PLUGIN_KERNEL(fill, nulldev, ALL_LAYOUT, nulldev::FillKernel, ALL_TYPES) {}
PD_REGISTER_PLUGIN_KERNEL(embedding_grad, nulldev, ALL_LAYOUT, nulldev::EmbeddingGradKernel, float, double) {}
PD_REGISTER_PLUGIN_KERNEL(index_select_grad, nulldev, ALL_LAYOUT, nulldev::IndexSelectGradKernel, float, double) {}
