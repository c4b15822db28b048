"""From scored tokens to entities: the rules of token classification. Plain Python and numpy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from transformers.utils import ExplicitEnum


class AggregationStrategy(ExplicitEnum):
    """How tokens become entities.

    NONE: they do not. SIMPLE: neighbours with one tag are joined. FIRST, AVERAGE, MAX: the same
    after the pieces of each word have agreed, on the first one's label, on the label of the highest
    mean score, or on the label of the piece that is surest.
    """

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


BY_WORD = (AggregationStrategy.FIRST, AggregationStrategy.AVERAGE, AggregationStrategy.MAX)


class EntityMixin:
    """Groups tokens. The pipeline that mixes it in has ``tokenizer`` and ``model``."""

    tokenizer: Any
    model: Any

    def gather_pre_entities(
        self,
        sentence: str,
        input_ids: np.ndarray,
        scores: np.ndarray,
        offset_mapping: Any,
        special_tokens_mask: np.ndarray,
        aggregation_strategy: AggregationStrategy,
        word_ids: list[int | None] | None = None,
        word_to_chars_map: list[tuple[int, int]] | None = None,
    ) -> list[dict]:
        """Return a dict for each token that is not special.

        Args:
            input_ids: ``[S]``.
            scores: ``[S, C]``.
            offset_mapping: ``[S]`` pairs of characters, of the word where texts come as words.
            special_tokens_mask: ``[S]``.
            word_ids: ``[S]``, the word of each token.
            word_to_chars_map: where each word stands in ``sentence``.

        Each has ``word``, ``scores`` ``[C]``, ``start``, ``end``, ``index``, ``is_subword``.
        """
        found = []
        for i, token_scores in enumerate(scores):
            if special_tokens_mask[i]:
                continue
            token = int(input_ids[i])
            word = self.tokenizer.convert_ids_to_tokens(token)
            start = end = None
            is_subword = False
            if offset_mapping is not None:
                start, end = (int(position) for position in offset_mapping[i])
                if word_ids is not None and word_ids[i] is not None:
                    shift = word_to_chars_map[word_ids[i]][0]
                    start, end = start + shift, end + shift
                is_subword = self._is_subword(word, sentence, start, end, aggregation_strategy)
                if token == self.tokenizer.unk_token_id:
                    word, is_subword = sentence[start:end], False
            found.append(
                {
                    "word": word,
                    "scores": token_scores,
                    "start": start,
                    "end": end,
                    "index": i,
                    "is_subword": is_subword,
                }
            )
        return found

    def _is_subword(
        self, word: str, sentence: str, start: int, end: int, strategy: AggregationStrategy
    ) -> bool:
        backend = getattr(self.tokenizer, "_tokenizer", None)
        if backend and getattr(backend.model, "continuing_subword_prefix", None):
            return len(word) != len(sentence[start:end])  # the prefix makes it longer
        if strategy in BY_WORD:
            warnings.warn(
                "Tokenizer does not support real words, using fallback heuristic",
                UserWarning,
                stacklevel=2,
            )
        return start > 0 and " " not in sentence[start - 1 : start + 1]

    def aggregate(
        self, pre_entities: list[dict], aggregation_strategy: AggregationStrategy
    ) -> list[dict]:
        """Label the tokens, and join them as the strategy says."""
        if aggregation_strategy in BY_WORD:
            return self.group_entities(self.aggregate_words(pre_entities, aggregation_strategy))
        entities = []
        for token in pre_entities:
            best = token["scores"].argmax()
            entities.append(
                {
                    "entity": self.model.config.id2label[best],
                    "score": token["scores"][best],
                    **{key: token[key] for key in ("index", "word", "start", "end")},
                }
            )
        if aggregation_strategy == AggregationStrategy.NONE:
            return entities
        return self.group_entities(entities)

    def aggregate_word(
        self, entities: list[dict], aggregation_strategy: AggregationStrategy
    ) -> dict:
        """Return one entity for the pieces of a word."""
        if aggregation_strategy == AggregationStrategy.FIRST:
            scores = entities[0]["scores"]
        elif aggregation_strategy == AggregationStrategy.MAX:
            scores = max(entities, key=lambda entity: entity["scores"].max())["scores"]
        elif aggregation_strategy == AggregationStrategy.AVERAGE:
            scores = np.nanmean(np.stack([entity["scores"] for entity in entities]), axis=0)
        else:
            raise ValueError(f"Invalid aggregation_strategy {aggregation_strategy!r} for words")
        best = scores.argmax()
        return {
            "entity": self.model.config.id2label[best],
            "score": scores[best],
            "word": self._joined(entities),
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }

    def aggregate_words(
        self, entities: list[dict], aggregation_strategy: AggregationStrategy
    ) -> list[dict]:
        """Return one entity a word."""
        words: list[list[dict]] = []
        for entity in entities:
            if words and entity["is_subword"]:
                words[-1].append(entity)
            else:
                words.append([entity])
        return [self.aggregate_word(word, aggregation_strategy) for word in words]

    def _joined(self, entities: list[dict]) -> str:
        return self.tokenizer.convert_tokens_to_string([entity["word"] for entity in entities])

    def get_tag(self, entity_name: str) -> tuple[str, str]:
        """Split "B-PER" into ("B", "PER"); a label without prefix continues what is before it."""
        if entity_name.startswith(("B-", "I-")):
            return entity_name[0], entity_name[2:]
        return "I", entity_name

    def group_entities(self, entities: list[dict]) -> list[dict]:
        """Join neighbours with one tag; a "B-" always begins anew."""
        groups: list[list[dict]] = []
        for entity in entities:
            begins, tag = self.get_tag(entity["entity"])
            same = groups and tag == self.get_tag(groups[-1][-1]["entity"])[1]
            if same and begins != "B":
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [self.group_sub_entities(group) for group in groups]

    def group_sub_entities(self, entities: list[dict]) -> dict:
        """Return one entity for neighbours of one tag."""
        return {
            "entity_group": entities[0]["entity"].split("-", 1)[-1],
            "score": np.mean(np.nanmean([entity["score"] for entity in entities])),
            "word": self._joined(entities),
            "start": entities[0]["start"],
            "end": entities[-1]["end"],
        }

    def aggregate_overlapping_entities(self, entities: list[dict]) -> list[dict]:
        """Of entities that overlap, as two chunks' do, keep the longest, then the surest."""
        kept: list[dict] = []
        for entity in sorted(entities, key=lambda entity: entity["start"]):
            last = kept[-1] if kept else None
            if last is None or not last["start"] <= entity["start"] < last["end"]:
                kept.append(entity)
            elif _rank(entity) > _rank(last):
                kept[-1] = entity
        return kept


def _rank(entity: dict) -> tuple:
    return entity["end"] - entity["start"], entity["score"]
