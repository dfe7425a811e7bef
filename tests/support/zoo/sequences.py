"""Networks over time: LSTM, GRU and plain recurrent classifiers, a temporal convolutional network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tests.support.zoo.architecture import Architecture, vectors
from tests.support.zoo.folding import COMPUTED, both, said_of_both, weight_norm_computed


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x)
        return self.fc(states[:, -1])


class StatefulLSTM(nn.Module):
    """The initial state is trained; the last one goes to the head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(3, 4), nn.Linear(8, 3)
        self.h0, self.c0 = nn.Parameter(torch.zeros(1, 1, 4)), nn.Parameter(torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        state = (self.h0.expand(-1, batch, -1).contiguous(), self.c0.expand(-1, batch, -1).contiguous())
        _, (hidden, cell) = self.lstm(x.transpose(0, 1), state)
        return self.fc(torch.cat([hidden[0], cell[0]], 1))


class GRUClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.norm, self.fc = nn.GRU(3, 5, batch_first=True), nn.LayerNorm(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.gru(x)
        return self.fc(self.norm(last[-1]))


class ElmanClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 4, nonlinearity="tanh", batch_first=True, bidirectional=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0].mean(1))


class TemporalBlock(nn.Module):
    """Causal: the end that padding adds is cut off again."""

    def __init__(self, inner: int, outer: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.conv1 = weight_norm(nn.Conv1d(inner, outer, 3, padding=self.cut, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(outer, outer, 3, padding=self.cut, dilation=dilation))
        self.downsample = nn.Conv1d(inner, outer, 1) if inner != outer else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x)[:, :, : -self.cut].contiguous())
        y = F.relu(self.conv2(y)[:, :, : -self.cut].contiguous())
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TCN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(TemporalBlock(2, 4, 1), TemporalBlock(4, 4, 2))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(x)[:, :, -1])


SEQUENCES = {
    "lstm": Architecture(LSTMClassifier, vectors(5, 3), torchscript=(11,), dynamo=(21,)),
    "lstm_state": Architecture(StatefulLSTM, vectors(4, 3), torchscript=(18,), dynamo=(22,)),
    "gru": Architecture(GRUClassifier, vectors(5, 3), torchscript=(12,), dynamo=(19,)),
    "rnn": Architecture(ElmanClassifier, vectors(5, 3), torchscript=(20,), dynamo=(23,)),
    "tcn": Architecture(TCN, vectors(2, 9), (13,), (20,), both(weight_norm_computed), said_of_both(COMPUTED.format(4))),
}
