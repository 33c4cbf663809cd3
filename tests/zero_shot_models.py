"""Zero-shot models of the true classes, small and random, as folders."""

import torch
import transformers as hf
from tokenizers.pre_tokenizers import ByteLevel


def clip_tokenizer(length):
    """Letters alone, as CLIP's vocabulary has them: with the end of a word and without."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: n for n, token in enumerate(tokens)}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length), len(tokens)


def text_of(vocabulary, length, width=16):
    ends = dict(bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1)
    size = dict(hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    return dict(vocab_size=vocabulary, max_position_embeddings=length, projection_dim=16, **ends, **size)


def clipseg(folder):
    """A CLIPSeg, written into a folder, the name of which is returned."""
    tokenizer, vocabulary = clip_tokenizer(77)
    vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2)
    config = hf.CLIPSegConfig(
        text_config=text_of(vocabulary, 77),
        vision_config=vision | dict(image_size=32, patch_size=8),
        projection_dim=16,
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        extract_layers=[0, 1, 2],
    )
    torch.manual_seed(0)
    model = hf.CLIPSegForImageSegmentation(config)
    for parameter in model.decoder.parameters():
        parameter.data.normal_(0, 0.5)
    model.save_pretrained(folder)
    images = hf.ViTImageProcessor(size={"height": 48, "width": 48})
    hf.CLIPSegProcessor(images, tokenizer).save_pretrained(folder)
    return str(folder)


def grounding_dino(folder):
    """A Grounding DINO, the ids of its special tokens as BERT's, written into a folder, whose name is returned."""
    words = [f"[unused{n}]" for n in range(1100)]
    places = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}  # as BERT has
    places |= {1030 + n: word for n, word in enumerate(["left", "mug", "behind", "the", "plate", ",", "red", "man"])}
    for place, word in places.items():
        words[place] = word
    (folder / "vocab.txt").write_text("\n".join(words))
    tokenizer = hf.BertTokenizer(vocab=str(folder / "vocab.txt"))
    small = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config = hf.GroundingDinoConfig(
        backbone_config=hf.SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=hf.BertConfig(vocab_size=len(words), **small),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, num_queries=9, max_text_len=24,
    )  # fmt: skip
    torch.manual_seed(0)
    hf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = hf.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    hf.GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    return str(folder)


def sam3(folder):
    """A SAM3, written into a folder, the name of which is returned."""
    tokenizer, vocabulary = clip_tokenizer(32)
    layer = dict(hidden_size=16, num_attention_heads=2, intermediate_size=16)
    backbone = dict(
        image_size=56,
        patch_size=14,
        window_size=2,
        num_hidden_layers=2,
        global_attn_indexes=[1],
        pretrain_image_size=28,
    )
    config = hf.Sam3Config(
        vision_config=dict(
            backbone_config=layer | backbone | dict(model_type="sam3_vit_model"),
            fpn_hidden_size=16,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        ),
        text_config=text_of(vocabulary, 32) | dict(model_type="clip_text_model"),
        geometry_encoder_config=layer | dict(num_layers=1),
        detr_encoder_config=layer | dict(num_layers=1),
        detr_decoder_config=layer | dict(num_layers=2, num_queries=7),
        mask_decoder_config=dict(hidden_size=16, num_attention_heads=2),
    )
    torch.manual_seed(0)
    hf.Sam3Model(config).save_pretrained(folder)
    images = hf.Sam3ImageProcessor(size={"height": 56, "width": 56})
    hf.Sam3Processor(images, tokenizer).save_pretrained(folder)
    return str(folder)
