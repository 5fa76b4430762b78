"""A word-level tokenizer made from the training text, for models from scratch."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from rlsp_cli.rewards.token_count import word_split


def word_tokenizer(texts: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """One token for every word, number and sign that occurs in `texts`, in sorted order.

    Decoding gives the text back with single spaces, none before `, . ? : }` and none inside a box.
    """
    split = word_split()
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[EOS]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = split
    closing = [decoders.Replace(f" {sign}", sign) for sign in ",.?:}"]
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(prefix="##", cleanup=False),
            decoders.Fuse(),
            *closing,
            decoders.Replace("{ ", "{"),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        eos_token="[EOS]",
        unk_token="[UNK]",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
