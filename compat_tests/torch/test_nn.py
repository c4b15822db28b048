"""``hfpaddle.torch.nn`` against torch.nn: default values of a seed, forward, names, training."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import torch as theirs

import hfpaddle.torch as ours
from hfpaddle import layers
from hfpaddle.torch import nn as our_nn
from hfpaddle.torch.nn import module_methods  # noqa: F401  (declares the methods of Module)

ours.install_methods()
RNG = np.random.default_rng(0)
BOTH = (theirs, theirs.nn), (ours, our_nn)


def f(*shape):
    return RNG.normal(size=shape).astype("float32")


IMAGE, ROWS, SEQUENCE = f(2, 4, 6, 5), f(3, 8), f(5, 2, 8)
IDS = np.array([[1, 0, 4]])

# name of the case, how to build the module, its input
MODULES = [
    ("Linear", lambda nn: nn.Linear(8, 5), ROWS),
    ("Linear no bias", lambda nn: nn.Linear(8, 5, bias=False), ROWS),
    ("Embedding", lambda nn: nn.Embedding(40, 8), IDS),
    ("Embedding padding", lambda nn: nn.Embedding(40, 8, padding_idx=-39), IDS),
    ("LayerNorm", lambda nn: nn.LayerNorm(8, eps=1e-6), ROWS),
    ("LayerNorm no bias", lambda nn: nn.LayerNorm((8,), bias=False), ROWS),
    ("RMSNorm", lambda nn: nn.RMSNorm(8), ROWS),
    ("GroupNorm", lambda nn: nn.GroupNorm(2, 4), IMAGE),
    ("BatchNorm1d", lambda nn: nn.BatchNorm1d(8), ROWS),
    ("BatchNorm2d", lambda nn: nn.BatchNorm2d(4, momentum=None), IMAGE),
    ("BatchNorm2d eval", lambda nn: nn.BatchNorm2d(4).eval(), IMAGE),
    ("InstanceNorm2d", lambda nn: nn.InstanceNorm2d(4, affine=True), IMAGE),
    ("Conv1d", lambda nn: nn.Conv1d(2, 4, 3, groups=2, padding="same"), SEQUENCE),
    ("Conv2d", lambda nn: nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=2), IMAGE),
    ("Conv2d reflect", lambda nn: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), IMAGE),
    ("ConvTranspose2d", lambda nn: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1), IMAGE),
    ("ConvTranspose1d", lambda nn: nn.ConvTranspose1d(2, 6, 3, stride=2, groups=2), SEQUENCE),
    ("Dropout", lambda nn: nn.Dropout(0.4), ROWS),
    ("Dropout2d", lambda nn: nn.Dropout2d(0.4), IMAGE),
    ("PReLU", lambda nn: nn.PReLU(8), ROWS),
    ("GELU", lambda nn: nn.GELU(approximate="tanh"), ROWS),
    ("Softmax", lambda nn: nn.Softmax(dim=-1), ROWS),
    ("LeakyReLU", lambda nn: nn.LeakyReLU(0.2, inplace=False), ROWS),
    ("GLU", lambda nn: nn.GLU(), ROWS),
    ("MaxPool2d", lambda nn: nn.MaxPool2d(2, ceil_mode=True), IMAGE),
    ("AvgPool2d", lambda nn: nn.AvgPool2d(3, stride=1, padding=1), IMAGE),
    ("AdaptiveAvgPool2d", lambda nn: nn.AdaptiveAvgPool2d((1, 2)), IMAGE),
    ("Upsample", lambda nn: nn.Upsample(scale_factor=2.0, mode="bilinear"), IMAGE),
    ("PixelShuffle", lambda nn: nn.PixelShuffle(2), IMAGE),
    ("ZeroPad2d", lambda nn: nn.ZeroPad2d((1, 0, 2, 1)), IMAGE),
    ("ReflectionPad2d", lambda nn: nn.ReflectionPad2d(2), IMAGE),
    ("Flatten", lambda nn: nn.Flatten(), IMAGE),
    ("Unflatten", lambda nn: nn.Unflatten(1, (2, 2)), IMAGE),
    ("Identity", lambda nn: nn.Identity(7, any=3), ROWS),
    ("TransformerEncoderLayer", lambda nn: nn.TransformerEncoderLayer(8, 2, 16, 0.1), SEQUENCE),
    (
        "TransformerEncoder",
        lambda nn: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", norm_first=True, batch_first=True), 2
        ),
        SEQUENCE,
    ),
    (
        "Sequential",
        lambda nn: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 2)),
        ROWS,
    ),
]


def run(library, nn, build, array):
    """Names and values of the state before and after, the result, and the gradients."""
    library.manual_seed(11)
    module = build(nn)
    before = {k: np.array(v.tolist()) for k, v in module.state_dict().items()}
    out = module(library.tensor(array))
    grads = {}
    if out.requires_grad:
        (out * out).sum().backward()
        grads = {k: p.grad.numpy() for k, p in module.named_parameters()}
    after = {k: np.array(v.tolist()) for k, v in module.state_dict().items()}
    return before, out.detach().numpy(), grads, after, library.rand(1).item()


@pytest.mark.parametrize(("build", "array"), [c[1:] for c in MODULES], ids=[c[0] for c in MODULES])
def test_module_equals_torch(build, array):
    want, got = (run(*sides, build, array) for sides in BOTH)
    assert list(got[0]) == list(want[0])
    for key, value in want[0].items():
        np.testing.assert_allclose(got[0][key], value, rtol=3e-7, atol=1e-7, err_msg=key)
    np.testing.assert_allclose(got[1], want[1], rtol=3e-5, atol=3e-6)
    for key, value in want[2].items():
        np.testing.assert_allclose(got[2][key], value, rtol=1e-4, atol=2e-5, err_msg=key)
    for key, value in want[3].items():
        np.testing.assert_allclose(got[3][key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    assert got[4] == want[4]  # as many random numbers were drawn


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_multihead_attention(batch_first, average):
    def attend(library, nn):
        library.manual_seed(1)
        module = nn.MultiheadAttention(8, 2, dropout=0.2, kdim=6, vdim=4, batch_first=batch_first)
        q = library.tensor(f_q)
        k, v = library.tensor(f_k), library.tensor(f_v)
        padding = library.tensor(hidden if batch_first else hidden.T.copy()).bool()
        padding = padding if batch_first else padding.t()
        mask = library.triu(library.ones(3, 5), diagonal=3).bool()
        out, weights = module(
            q, k, v, key_padding_mask=padding, attn_mask=mask, average_attn_weights=average
        )
        return out.detach().numpy(), weights.detach().numpy()

    shape = (lambda b, s, e: (b, s, e)) if batch_first else (lambda b, s, e: (s, b, e))
    f_q, f_k, f_v = f(*shape(2, 3, 8)), f(*shape(2, 5, 6)), f(*shape(2, 5, 4))
    hidden = np.zeros((2, 5), bool)
    hidden[1, 3:] = True
    want, got = (attend(*sides) for sides in BOTH)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


LOSSES = [
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, f(4, 5), np.array([1, -100, 0, 2])),
    ("NLLLoss", {"reduction": "sum"}, f(4, 5), np.array([1, -100, 0, 2])),
    ("MSELoss", {}, f(4, 5), f(4, 5)),
    ("L1Loss", {"reduction": "none"}, f(4, 5), f(4, 5)),
    ("SmoothL1Loss", {"beta": 0.5}, f(4, 5), f(4, 5)),
    ("HuberLoss", {"delta": 0.5}, f(4, 5), f(4, 5)),
    ("BCEWithLogitsLoss", {}, f(4, 5), np.abs(f(4, 5)) % 1),
    ("BCELoss", {}, np.abs(f(4, 5)) % 1, np.abs(f(4, 5)) % 1),
    ("KLDivLoss", {"reduction": "batchmean"}, f(4, 5), np.abs(f(4, 5))),
    ("TripletMarginLoss", {}, f(4, 5), (f(4, 5), f(4, 5))),
    ("CosineEmbeddingLoss", {"margin": 0.2}, f(4, 5), (f(4, 5), np.array([1, -1, 1, -1]))),
]


@pytest.mark.parametrize(("name", "kwargs", "x", "targets"), LOSSES, ids=[c[0] for c in LOSSES])
def test_loss_modules(name, kwargs, x, targets):
    def loss(library, nn):
        each = targets if isinstance(targets, tuple) else (targets,)
        module = getattr(nn, name)(**kwargs)
        return module(library.tensor(x), *(library.tensor(t) for t in each)).numpy()

    want, got = (loss(*sides) for sides in BOTH)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


def small(nn):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(30, 16)
            self.blocks = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
            self.norms = nn.ModuleDict({"a": nn.LayerNorm(16), "b": nn.LayerNorm(16)})
            self.drop = nn.Dropout(0.1)
            self.head = nn.Linear(16, 30, bias=False)
            self.head.weight = self.embed.weight
            self.register_buffer("scale", nn.Parameter(self.embed.weight[:1, :1] * 0 + 2).detach())
            self.register_buffer("hidden", self.scale * 3, persistent=False)

        def forward(self, ids):
            x = self.embed(ids)
            for block, norm in zip(self.blocks, self.norms.values(), strict=True):
                x = x + self.drop(nn.functional.gelu(block(norm(x))))
            return self.head(x) * self.scale

    return Net()


def test_names_and_ties():
    names = []
    for library, nn in BOTH:
        library.manual_seed(0)
        net = small(nn)
        names.append((
            list(net.state_dict()),
            [n for n, _ in net.named_parameters()],
            [n for n, _ in net.named_parameters(remove_duplicate=False)],
            [n for n, _ in net.named_parameters(recurse=False)],
            [n for n, _ in net.named_buffers()],
            [n for n, _ in net.named_modules()],
            len(list(net.parameters())),
            list(net.state_dict(prefix="p.")),
            list(net.norms.keys()),
            [type(m).__name__ for m in net.children()],
        ))  # fmt: skip
    assert names[0] == names[1]


def test_training_loop_gives_the_same_losses():
    """Seeded weights, dropout and SGD by hand: the loss of each step within 1e-5."""
    ids = RNG.integers(0, 30, (4, 7))

    def train(library, nn):
        library.manual_seed(0)
        net, losses = small(nn), []
        for _ in range(8):
            out = net(library.tensor(ids[:, :-1]))
            loss = nn.functional.cross_entropy(
                out.flatten(0, 1), library.tensor(ids[:, 1:]).flatten()
            )
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            with library.no_grad():
                for p in net.parameters():
                    p -= 0.1 * p.grad
            net.zero_grad()
            losses.append(loss.item())
        return losses

    want, got = (train(*sides) for sides in BOTH)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert want[-1] < want[0]


def test_load_state_dict():
    net, other = small(our_nn), small(our_nn)
    state = net.state_dict()
    assert str(other.load_state_dict(state)) == "<All keys matched successfully>"
    np.testing.assert_array_equal(
        other.blocks[1].weight.detach().numpy(), net.blocks[1].weight.detach().numpy()
    )
    assert all(not value.requires_grad for value in state.values())
    with pytest.raises(RuntimeError, match="size mismatch for blocks.0.bias"):
        other.load_state_dict(state | {"blocks.0.bias": paddle.zeros([3])})
    with pytest.raises(RuntimeError, match='Unexpected key.*"more"'):
        other.load_state_dict(state | {"more": paddle.zeros([3])})
    state.pop("scale")
    keys = other.load_state_dict(state | {"more": paddle.zeros([3])}, strict=False)
    assert keys == (["scale"], ["more"])
    mine = our_nn.Parameter(paddle.ones([16]))
    other.load_state_dict({"blocks.0.bias": mine}, strict=False, assign=True)
    assert other.blocks[0].bias is mine


def test_state_dict_hooks_and_own_methods():
    class Versioned(our_nn.Linear):
        _version = 2

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "extra"] = paddle.ones([1])

        def _load_from_state_dict(self, state_dict, prefix, metadata, *rest):
            assert metadata["version"] == 2
            state_dict.pop(prefix + "extra")
            super()._load_from_state_dict(state_dict, prefix, metadata, *rest)

    net = our_nn.Sequential(Versioned(2, 2))
    calls = []
    net[0]._register_load_state_dict_pre_hook(lambda state, prefix, *_: calls.append(prefix))
    net._register_state_dict_hook(lambda module, state, prefix, _: calls.append(len(state)))
    handle = net.register_load_state_dict_post_hook(lambda module, keys: calls.append(keys))
    state = net.state_dict()
    assert list(state) == ["0.weight", "0.bias", "0.extra"]
    net.load_state_dict(state)
    handle.remove()
    net.load_state_dict(state)
    assert calls == [3, "0.", ([], []), "0."]


def test_moves_and_dtypes():
    net = small(our_nn)
    assert net.to("cpu") is net and net.to(ours.device("cpu"), ours.float64) is net
    assert net.head.weight.dtype is paddle.float64 and net.scale.dtype is paddle.float64
    assert net.head.weight is net.embed.weight
    net(paddle.to_tensor([[1]])).sum().backward()
    assert net.head.weight.grad.dtype is paddle.float64
    assert net.float().head.weight.grad.dtype is paddle.float32
    net.zero_grad()
    assert net.head.weight.grad is None
    for kind in (RuntimeError, AssertionError):  # ours is both, torch's the latter
        with pytest.raises(kind, match="(?i)cuda|gpu"):
            net.cuda()


def test_train_calls_the_overrides_below():
    class Frozen(our_nn.Linear):
        def train(self, mode=True):
            return super().train(False)

    net = our_nn.Sequential(Frozen(2, 2), our_nn.Dropout())
    assert net.train() is net
    assert (net.training, net[0].training, net[1].training) == (True, False, True)


def test_containers():
    for _, nn in BOTH:
        net = nn.Sequential(*(nn.Linear(i + 1, 1) for i in range(4)))
        del net[1]
        net.append(nn.Identity())
        net.insert(0, nn.ReLU())
        shape = [getattr(m, "in_features", None) for m in net[1:]]
        assert shape == [1, 3, 4, None] and len(net) == 5
        assert list(dict(net.named_children())) == ["0", "1", "2", "3", "4"]
        blocks = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
        blocks[-1] = nn.ReLU()
        blocks += [nn.Tanh()]
        assert [type(m).__name__ for m in blocks] == ["Linear", "Linear", "ReLU", "Tanh"]
        assert isinstance(blocks.pop(1), nn.Linear) and len(blocks[1:]) == 2
        values = nn.ParameterList([nn.Parameter(net[1].weight.detach()), net[2].weight.detach()])
        assert [n for n, _ in values.named_parameters()] == ["0", "1"]
        table = nn.ParameterDict({"k": nn.Parameter(net[1].weight.detach())})
        assert "k" in table and list(table.state_dict()) == ["k"]


def test_classes_know_their_kin():
    assert isinstance(layers.Linear(2, 2), our_nn.Linear)
    assert isinstance(paddle.nn.LayerList([]), our_nn.ModuleList)
    assert not isinstance(layers.Linear(2, 2), our_nn.Embedding)

    class Mine(our_nn.Linear):
        pass

    assert not isinstance(layers.Linear(2, 2), Mine)
    assert issubclass(Mine, our_nn.Linear) and isinstance(our_nn.Linear(2, 2), paddle.nn.Layer)


def test_parameter_shares_memory():
    tensor = paddle.ones([2])
    param = our_nn.Parameter(tensor)
    with ours.no_grad():
        param.fill_(3.0)
    assert tensor.tolist() == [3.0, 3.0] and param.requires_grad


def test_clip_and_vectors():
    def clip(library, nn):
        library.manual_seed(0)
        net = nn.Linear(4, 4)
        (net(library.ones(2, 4)) ** 2).sum().backward()
        norms = [nn.utils.clip_grad_norm_((p for p in net.parameters()), 0.5).item()]
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), 9.0, norm_type=float("inf")).item())
        nn.utils.clip_grad_value_(net.parameters(), 0.05)
        vector = nn.utils.parameters_to_vector(net.parameters())
        nn.utils.vector_to_parameters(vector * 2, net.parameters())
        return norms, net.weight.grad.numpy(), net.weight.detach().numpy()

    want, got = (clip(*sides) for sides in BOTH)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences(batch_first):
    def sequences(library, nn):
        rnn = nn.utils.rnn
        rows = [library.arange(n) + 1 for n in (2, 4, 1)]
        left = rnn.pad_sequence(rows, batch_first, -1, padding_side="left")
        padded = rnn.pad_sequence(rows, batch_first)
        packed = rnn.pack_padded_sequence(padded, [2, 4, 1], batch_first, enforce_sorted=False)
        back, lengths = rnn.pad_packed_sequence(packed, batch_first, total_length=5)
        return [t.tolist() for t in (left, padded, *packed, back, lengths)]

    want, got = (sequences(*sides) for sides in BOTH)
    assert got == want


def test_backward_hook_sees_the_gradients():
    def seen(library, nn):
        library.manual_seed(0)
        net, calls = nn.Linear(2, 3), []
        net.register_full_backward_hook(lambda m, gi, go: calls.append((gi[0], go[0])))
        x = library.ones(1, 2, requires_grad=True)
        (net(x) * 2).sum().backward()
        return [g.detach().numpy() for call in calls for g in call]

    want, got = (seen(*sides) for sides in BOTH)
    assert len(got) == len(want) == 2
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_what_is_missing_says_so():
    with pytest.raises(AttributeError, match="'LazyLinear' .*nearest"):
        _ = our_nn.LazyLinear
    with pytest.raises(ValueError, match="one process a device"):
        our_nn.DataParallel(our_nn.Linear(1, 1), device_ids=[0, 1])
