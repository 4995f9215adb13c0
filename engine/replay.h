// Work on the device that is the same from call to call, put there once as a graph and replayed.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "engine/for_each_tensor.h"

namespace mcn {

/// What a graph relies on about a tensor: where it lies and what is there.
struct TensorPlace {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const TensorPlace&) const = default;
  /// True if a tensor at one place can be copied to the other.
  [[nodiscard]] bool fits(const TensorPlace& other) const {
    return (data == nullptr) == (other.data == nullptr) && dtype == other.dtype && shape == other.shape;
  }
};

std::vector<TensorPlace> places_of(const Tensors& tensors);
bool all_fit(const std::vector<TensorPlace>& a, const std::vector<TensorPlace>& b);
/// Copies from[i] to to[i]. UsageError unless all fit.
void copy_all(Backend& backend, const Tensors& from, Tensors to);

/// Outputs = work(Inputs), both structures of tensors (engine/for_each_tensor.h). With a graph, the first call with
/// inputs of some shapes does the work, the second captures it, and later ones copy their inputs into the graph's and
/// replay it. It starts again where shapes change or where a tensor that the graph reads in place lies elsewhere.
template <typename Inputs, typename Outputs>
class Replay {
 public:
  Replay(Backend& backend, bool use_graph) : backend_(backend), use_graph_(use_graph) {}

  /// in_place: tensors that the work reads beside its inputs, where they lie. The result is valid until the next call.
  const Outputs& run(const Tensors& in_place, const Inputs& inputs, const std::function<Outputs(const Inputs&)>& work) {
    const Tensors given = tensors_in(inputs);
    std::vector<TensorPlace> given_places = places_of(given), now = places_of(in_place);
    if (!use_graph_ || !all_fit(given_places, given_) || now != in_place_) {
      start_again();
      outputs_ = work(inputs);
      given_ = std::move(given_places);
      in_place_ = std::move(now);
      return outputs_;
    }
    if (graph_ == nullptr) {
      held_ = inputs;
      // What is made in a capture must go in it, so results are copied out: to those of the call before.
      auto graph = backend_.capture([&] { copy_all(backend_, tensors_in(work(held_)), tensors_in(outputs_)); });
      captured_ = captured_places();
      graph_ = std::move(graph);  // only now: a capture that failed is to be tried again
    } else {
      if (captured_places() != captured_) fail("graph", "a tensor that the graph holds lies elsewhere now");
      copy_all(backend_, given, tensors_in(held_));
    }
    graph_->launch();
    return outputs_;
  }

  /// The latest result.
  [[nodiscard]] const Outputs& outputs() const { return outputs_; }

  /// The work has changed, its results' shapes have not: the next call captures it again.
  void capture_again() {
    graph_.reset();
    held_ = {};
  }
  /// The work has changed: the next call does it.
  void start_again() {
    capture_again();
    outputs_ = {};  // makes room
    given_.clear();
    in_place_.clear();
  }

 private:
  [[nodiscard]] std::vector<TensorPlace> captured_places() const {
    Tensors all = tensors_in(held_);
    for_each_tensor(outputs_, [&](const Tensor& t) { all.push_back(t); });
    return places_of(all);
  }

  Backend& backend_;
  bool use_graph_;
  Outputs outputs_;
  Inputs held_;                                           // what the graph reads, whatever call it is launched for
  std::vector<TensorPlace> given_, in_place_, captured_;  // of the inputs that outputs_ belong to, and of the capture
  std::unique_ptr<Graph> graph_;
};

}  // namespace mcn
