"""The modules of ``torch.nn``; files carry torch's names where scripts import from them."""

# ruff: noqa: F403
from hfpaddle.torch.nn.modules.activation import *
from hfpaddle.torch.nn.modules.batchnorm import *
from hfpaddle.torch.nn.modules.container import *
from hfpaddle.torch.nn.modules.conv import *
from hfpaddle.torch.nn.modules.dropout import *
from hfpaddle.torch.nn.modules.linear import *
from hfpaddle.torch.nn.modules.loss import *
from hfpaddle.torch.nn.modules.module import *
from hfpaddle.torch.nn.modules.normalization import *
from hfpaddle.torch.nn.modules.pooling import *
from hfpaddle.torch.nn.modules.rnn import *
from hfpaddle.torch.nn.modules.sparse import *
from hfpaddle.torch.nn.modules.transformer import *
