// A layer's mixture of experts: for each token the weighted sum of what its chosen experts make of
// it, y[t] = sum over its k choices of weight * down(act(gate(x[t])) * up(x[t])).
//
// Two parts, between which all threads must have arrived: the hidden activations of every pair of a
// token and an expert, then the sums. In both each thread takes rows of the weights of all chosen
// experts, so that each weight is read once.
//
//   mix.start(...);                      // once
//   mix.hidden(thread, team); barrier;   // in each thread of a team
//   mix.combine(thread, team); barrier;
//   mix.finish();                        // once
#pragma once

#include <atomic>
#include <vector>

#include "../linear/matrix.h"

namespace hf {

struct Expert {
  Matrix gate, up, down;  // gate.data null: down(act(up(x)))
};

class Mixture {
 public:
  // x [tokens, width], index and weights [tokens, top_k], y [tokens, width]. The caller has checked
  // that index lies within the experts. Buffers are kept from one run to the next.
  void start(const Expert* experts, int64_t count, int32_t activation, const float* x,
             const int64_t* index, const float* weights, float* y, int64_t tokens, int64_t top_k);

  void hidden(int thread, int team);
  void combine(int thread, int team);

  void finish();

  // Bytes of the weights that the run reads.
  int64_t bytes() const;

 private:
  // Up to so many tokens: time goes into reading weights, each in its stored form. With more it
  // goes into arithmetic, for which rows are unpacked to float32 a few at a time.
  static constexpr int64_t FEW = 8;

  // An expert that some token chose, and its pairs [begin, end).
  struct Chosen {
    const Expert* expert;
    int64_t begin, end;
  };
  // Rows of an expert's gate and up that a thread computes.
  struct Task {
    int64_t chosen, begin, end;
  };
  struct Space;

  void few_hidden(int thread, int team);
  void few_combine(int thread, int team);
  void many_hidden();
  void many_combine();
  void hidden_rows(const Chosen& c, int64_t begin, int64_t end, Space& space);

  const Expert* experts_;
  int64_t tokens_, top_k_, width_, inner_, most_;  // most_: pairs of the busiest expert
  int32_t activation_;
  const float *x_, *weights_;
  float* y_;
  std::vector<Chosen> chosen_;
  std::vector<int64_t> pairs_, starts_;  // pair = token * top_k + choice, sorted by expert
  std::vector<float> hidden_;            // [pairs, inner]
  std::vector<Task> tasks_;
  std::atomic<int64_t> next_hidden_{0}, next_combine_{0};
};

}  // namespace hf
