"""Recurrent layers: first values, outputs, states, gradients, packed sequences, dropout masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch as theirs

import hfpaddle.torch as ours

ours.install_methods()
SIDES = (theirs, ours)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3, 4)).astype("float32")

LAYERS = {
    "LSTM": ("LSTM", {}),
    "LSTM deep": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "LSTM batch first": ("LSTM", {"batch_first": True, "bias": False}),
    "GRU": ("GRU", {}),
    "GRU deep": ("GRU", {"num_layers": 3, "bidirectional": True, "batch_first": True}),
    "RNN": ("RNN", {"num_layers": 2}),
    "RNN relu": ("RNN", {"nonlinearity": "relu", "bidirectional": True}),
}


def build(library, name, options):
    library.manual_seed(3)
    return getattr(library.nn, name)(4, 6, **options)


def flat(out, last):
    states = last if isinstance(last, tuple) else (last,)
    data = out.data if hasattr(out, "batch_sizes") else out
    return [data, *states]


def compare(name, options, call):
    """Outputs and gradients of ``call(library, layer)``, in both libraries."""
    found = []
    for library in SIDES:
        layer = build(library, name, options)
        results = call(library, layer)
        loss = sum((r * library.linspace(0, 1, r.numel()).reshape(r.shape)).sum() for r in results)
        loss.backward()
        grads = [p.grad for p in layer.parameters()]
        names = list(dict(layer.named_parameters()))
        found.append((names, [v.detach().numpy() for v in [*results, *grads]]))
    assert found[0][0] == found[1][0]
    for got, want in zip(found[1][1], found[0][1], strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("name", "options"), LAYERS.values(), ids=LAYERS)
def test_first_values(name, options):
    want, got = (build(library, name, options) for library in SIDES)
    assert repr(got) == repr(want)
    for (n, a), (m, b) in zip(got.named_parameters(), want.named_parameters(), strict=True):
        assert n == m
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize(("name", "options"), LAYERS.values(), ids=LAYERS)
def test_sequences(name, options):
    compare(name, options, lambda lib, layer: flat(*layer(lib.tensor(X))))
    compare(name, options, lambda lib, layer: flat(*layer(lib.tensor(X[:, 0]))))  # no batch


@pytest.mark.parametrize(("name", "options"), LAYERS.values(), ids=LAYERS)
def test_given_states(name, options):
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    batch = 5 if options.get("batch_first") else 3
    h, c = RNG.normal(size=(2, count, batch, 6)).astype("float32")

    def call(lib, layer):
        states = (lib.tensor(h), lib.tensor(c)) if name == "LSTM" else lib.tensor(h)
        return flat(*layer(lib.tensor(X), states))

    compare(name, options, call)


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize(("name", "options"), LAYERS.values(), ids=LAYERS)
def test_packed_sequences(name, options, sort):
    lengths = [5, 3, 1] if sort else [2, 5, 4]

    def call(lib, layer):
        rnn = lib.nn.utils.rnn
        packed = rnn.pack_padded_sequence(lib.tensor(X), lengths, enforce_sorted=sort)
        out, last = layer(packed)
        padded, sizes = rnn.pad_packed_sequence(out)
        assert sizes.tolist() == lengths
        return [padded, *flat(out, last)]

    compare(name, options, call)


@pytest.mark.parametrize("packed", [False, True])
def test_dropout_draws_torchs_masks(packed):
    def call(lib, layer):
        lib.manual_seed(7)
        x = lib.tensor(X)
        if packed:
            x = lib.nn.utils.rnn.pack_padded_sequence(x, [5, 4, 2])
        return flat(*layer(x))

    compare("LSTM", {"num_layers": 3, "dropout": 0.5}, call)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_frozen_weights(name):
    found = []
    for library in SIDES:
        layer = build(library, name, {"num_layers": 2})
        layer.weight_hh_l0.requires_grad_(False)
        layer.bias_ih_l1.requires_grad_(False)
        layer(library.tensor(X))[0].sum().backward()
        found.append([None if p.grad is None else p.grad.numpy() for p in layer.parameters()])
    for got, want in zip(found[1], found[0], strict=True):
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells(name, bias):
    def call(lib, cell):
        x, state, results = lib.tensor(X), None, []
        for t in range(3):
            state = cell(x[t], state)
            results += list(state) if isinstance(state, tuple) else [state]
        single = cell(x[0, 0])
        return results + (list(single) if isinstance(single, tuple) else [single])

    compare(name, {"bias": bias}, call)


def test_the_same_state_dict():
    want = theirs.nn.LSTM(4, 6, 2, bidirectional=True)
    got = ours.nn.LSTM(4, 6, 2, bidirectional=True)
    state = {key: ours.tensor(value.numpy()) for key, value in want.state_dict().items()}
    got.load_state_dict(state)
    np.testing.assert_allclose(
        got(ours.tensor(X))[0].detach().numpy(), want(theirs.tensor(X))[0].detach().numpy(),
        rtol=1e-5, atol=1e-6,
    )  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        lambda lib: lib.nn.LSTM(4, 6)(lib.zeros(2, 3, 5)),
        lambda lib: lib.nn.LSTM(4, 6)(lib.zeros(1, 2, 3, 4)),
        lambda lib: lib.nn.GRU(4, 6)(lib.zeros(5, 3, 4), lib.zeros(1, 2, 6)),
        lambda lib: lib.nn.GRU(4, 6, dropout=2.0),
        lambda lib: lib.nn.GRU(4, 0),
        lambda lib: lib.nn.RNN(4, 6, nonlinearity="sin"),
        lambda lib: lib.nn.GRUCell(4, 6)(lib.zeros(1, 2, 3)),
    ],
)
def test_refusals(call):
    kinds = []
    for library in SIDES:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
            call(library)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]


def test_projections_are_refused():
    with pytest.raises(ValueError, match="proj_size=3 has no implementation"):
        ours.nn.LSTM(4, 6, proj_size=3)
