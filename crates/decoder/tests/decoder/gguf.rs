//! Reading good files and refusing hand-made bad ones.

use baton_decoder::Error;
use baton_decoder::gguf::Value;
use expect_test::expect;

use crate::support::writer::{Entry, Raw, Writer};
use crate::support::{open, tiny};

fn refusal(bytes: &[u8]) -> String {
    match open(bytes) {
        Ok(_) => "accepted".into(),
        Err(error) => error.to_string(),
    }
}

/// One F32 tensor `a` of `[2, 3]`, described as the arguments say, over `data` bytes.
fn one_tensor(dims: &[u64], form: u32, offset: u64, data: usize) -> Vec<u8> {
    let raw = Raw::header(1, 0).text("a").u32(dims.len() as u32);
    let raw = dims.iter().fold(raw, |raw, dim| raw.u64(*dim)).u32(form).u64(offset);
    raw.align().raw(&vec![0; data]).0
}

#[test]
fn what_was_written_is_read() {
    let mut file = Writer::default();
    file.entry("number", Entry::U32(7))
        .entry("float", Entry::F32(0.5))
        .entry("flag", Entry::Flag(true))
        .entry("text", Entry::Text("é".into()))
        .entry("texts", Entry::Texts(vec!["a".into(), String::new(), "bc".into()]))
        .entry("numbers", Entry::I32s(vec![-1, 2]))
        .floats("m", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .tensor("q", &[1, 32], 2, vec![9; 18]);
    let file = open(&file.bytes()).unwrap();
    let metadata = file.metadata();
    assert_eq!(metadata.count("number").unwrap(), Some(7));
    assert_eq!(metadata.float("float").unwrap(), Some(0.5));
    assert_eq!(metadata.flag("flag").unwrap(), Some(true));
    assert_eq!(metadata.text("text").unwrap(), Some("é"));
    assert_eq!(metadata.texts("texts").unwrap().unwrap().iter().collect::<Vec<_>>(), ["a", "", "bc"]);
    let numbers = metadata.scalars("numbers").unwrap().unwrap();
    assert_eq!(numbers.values().collect::<Vec<_>>(), [Value::Signed(-1), Value::Signed(2)]);
    assert_eq!(metadata.count("absent").unwrap(), None);
    assert_eq!(metadata.iter().count(), 6);
    let tensors: Vec<_> = file.tensors().map(|(name, info)| (name, info.dims.clone(), info.form.name)).collect();
    assert_eq!(tensors, [("m", vec![2, 3], "F32"), ("q", vec![1, 32], "Q4_0")]);
    assert_eq!(file.bytes(file.tensor("m").unwrap())[..4], 1f32.to_le_bytes());
    assert_eq!(file.bytes(file.tensor("q").unwrap()), [9; 18]);
}

#[test]
fn version_2_is_read_and_the_alignment_is_kept() {
    let raw = Raw(b"GGUF".to_vec()).u32(2).u64(1).u64(1).text("general.alignment").u32(4).u32(64);
    let mut raw = raw.text("a").u32(1).u64(16).u32(0).u64(64);
    raw.0.resize(raw.0.len().next_multiple_of(64) + 64, 0);
    let file = open(&raw.raw(&[1; 64]).0).unwrap();
    assert_eq!(file.bytes(file.tensor("a").unwrap()), [1; 64]);
}

#[test]
fn a_value_of_another_type_is_named() {
    let mut file = Writer::default();
    file.entry("text", Entry::Text("x".repeat(200)))
        .entry("float", Entry::F32(f32::NAN))
        .entry("numbers", Entry::I32s(vec![-1, 2]));
    let file = open(&file.bytes()).unwrap();
    let metadata = file.metadata();
    let errors = [
        metadata.count("text").map(drop),
        metadata.float("float").map(drop),
        metadata.text("numbers").map(drop),
        metadata.texts("numbers").map(drop),
        metadata.flag("float").map(drop),
    ];
    let errors = errors.map(|result| result.unwrap_err().to_string()).join("\n");
    expect![[r#"
        the model file is inconsistent: `text` should be a number from 0 to 4294967295, but is the string `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`
        the model file is inconsistent: `float` should be a finite float, but is the float NaN
        the model file is inconsistent: `numbers` should be a string, but is an array of 2 numbers
        the model file is inconsistent: `numbers` should be an array of strings, but is an array of 2 numbers
        the model file is inconsistent: `float` should be true or false, but is the float NaN"#]].assert_eq(&errors);
}

#[test]
fn bad_headers_are_refused() {
    let huge = u64::MAX;
    let entry = |kind: u32| Raw::header(0, 1).text("k").u32(kind);
    let array = |kind: u32, count: u64| entry(9).u32(kind).u64(count);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("short", b"GGU".to_vec()),
        ("magic", b"GGML\x03\0\0\0".to_vec()),
        ("version 1", Raw(b"GGUF".to_vec()).u32(1).0),
        ("version 4", Raw(b"GGUF".to_vec()).u32(4).0),
        ("big-endian", Raw(b"GGUF".to_vec()).raw(&3u32.to_be_bytes()).0),
        ("tensor count", Raw::header(huge, 0).0),
        ("tensor count beyond the file", Raw::header(1, 0).0),
        ("entry count", Raw::header(0, huge).0),
        ("key length", Raw::header(0, 1).u64(huge).raw(&[0; 64]).0),
        ("key not UTF-8", Raw::header(0, 1).u64(1).raw(&[0xff]).u32(4).u32(1).0),
        ("value type", entry(13).raw(&[0; 64]).0),
        ("value cut off", entry(4).raw(&[0; 3]).0),
        ("truth value", entry(7).u8(2).0),
        ("string length", entry(8).u64(1 << 40).raw(&[0; 64]).0),
        ("string not UTF-8", entry(8).u64(2).raw(&[0xc3, 0x28]).0),
        ("array type", array(77, 0).0),
        ("array of arrays", array(9, 1).u32(4).u64(0).0),
        ("array length", array(4, huge).0),
        ("array length that overflows", array(12, 1 << 61).raw(&[0; 64]).0),
        ("array longer than the file", array(0, 65).raw(&[0; 64]).0),
        ("string array longer than the file", array(8, 9).raw(&[0; 64]).0),
        ("array of bad truth values", array(7, 2).raw(&[1, 3]).0),
        ("same key twice", Raw::header(0, 2).text("k").u32(0).u8(1).text("k").u32(0).u8(1).0),
        ("alignment", Raw::header(0, 1).text("general.alignment").u32(4).u32(48).0),
        ("alignment of nothing", Raw::header(0, 1).text("general.alignment").u32(4).u32(0).0),
        ("alignment as text", Raw::header(0, 1).text("general.alignment").u32(8).text("32").0),
    ];
    let lines: Vec<_> = cases.iter().map(|(name, bytes)| format!("{name}: {}", refusal(bytes))).collect();
    expect![[r#"
        empty: not a usable GGUF file: 4 bytes are needed and 0 are left (at byte 0); fetch the file again and check its digest
        short: not a usable GGUF file: 4 bytes are needed and 3 are left (at byte 0); fetch the file again and check its digest
        magic: not a usable GGUF file: it does not begin with `GGUF` (at byte 0); fetch the file again and check its digest
        version 1: GGUF version 1 is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        version 4: GGUF version 4 is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        big-endian: a big-endian GGUF file is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        tensor count: not a usable GGUF file: 18446744073709551615 tensors are announced and at most 0 can be there (at byte 16); fetch the file again and check its digest
        tensor count beyond the file: not a usable GGUF file: 1 tensors are announced and at most 0 can be there (at byte 16); fetch the file again and check its digest
        entry count: not a usable GGUF file: 18446744073709551615 metadata entries are announced and at most 0 can be there (at byte 24); fetch the file again and check its digest
        key length: not a usable GGUF file: 18446744073709551615 bytes of a key are announced and at most 64 can be there (at byte 32); fetch the file again and check its digest
        key not UTF-8: not a usable GGUF file: a key is not UTF-8 (at byte 32); fetch the file again and check its digest
        value type: not a usable GGUF file: 13 is not a type of value (at byte 37); fetch the file again and check its digest
        value cut off: not a usable GGUF file: 4 bytes are needed and 3 are left (at byte 37); fetch the file again and check its digest
        truth value: not a usable GGUF file: a truth value is neither 0 nor 1 (at byte 38); fetch the file again and check its digest
        string length: not a usable GGUF file: 1099511627776 bytes of a string are announced and at most 64 can be there (at byte 45); fetch the file again and check its digest
        string not UTF-8: not a usable GGUF file: a string is not UTF-8 (at byte 45); fetch the file again and check its digest
        array type: not a usable GGUF file: 77 is not a type of value (at byte 41); fetch the file again and check its digest
        array of arrays: not a usable GGUF file: an array holds arrays, which no known model needs (at byte 41); fetch the file again and check its digest
        array length: not a usable GGUF file: 18446744073709551615 array elements are announced and at most 0 can be there (at byte 49); fetch the file again and check its digest
        array length that overflows: not a usable GGUF file: 2305843009213693952 array elements are announced and at most 8 can be there (at byte 49); fetch the file again and check its digest
        array longer than the file: not a usable GGUF file: 65 array elements are announced and at most 64 can be there (at byte 49); fetch the file again and check its digest
        string array longer than the file: not a usable GGUF file: 9 array elements are announced and at most 8 can be there (at byte 49); fetch the file again and check its digest
        array of bad truth values: not a usable GGUF file: a truth value is neither 0 nor 1 (at byte 51); fetch the file again and check its digest
        same key twice: not a usable GGUF file: the key `k` stands there twice (at byte 52); fetch the file again and check its digest
        alignment: the model file is inconsistent: `general.alignment` is 48, not a power of two from 8 to 2097152
        alignment of nothing: the model file is inconsistent: `general.alignment` is 0, not a power of two from 8 to 2097152
        alignment as text: the model file is inconsistent: `general.alignment` should be a number from 0 to 4294967295, but is the string `32`"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn bad_tensors_are_refused() {
    let two = |first: u64, second: u64| {
        let raw = Raw::header(2, 0).text("a").u32(1).u64(16).u32(0).u64(first);
        raw.text("b").u32(1).u64(16).u32(0).u64(second).align().raw(&[0; 128]).0
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("good", one_tensor(&[3, 2], 0, 0, 24)),
        ("no dimensions", one_tensor(&[], 0, 0, 64)),
        ("five dimensions", one_tensor(&[1; 5], 0, 0, 64)),
        ("huge rank", Raw::header(1, 0).text("a").u32(u32::MAX).raw(&[0; 64]).0),
        ("dimension of zero", one_tensor(&[0, 2], 0, 0, 64)),
        ("product overflows", one_tensor(&[1 << 32, 1 << 32], 0, 0, 64)),
        ("bytes overflow", one_tensor(&[1 << 31, 1 << 31], 0, 0, 64)),
        ("unknown form", one_tensor(&[32], 4, 0, 64)),
        ("half a block", one_tensor(&[16, 2], 2, 0, 64)),
        ("offset off the alignment", one_tensor(&[3, 2], 0, 4, 64)),
        ("offset overflows", one_tensor(&[3, 2], 0, u64::MAX - 31, 64)),
        ("one byte short", one_tensor(&[3, 2], 0, 0, 23)),
        ("behind the end", one_tensor(&[3, 2], 0, 1 << 40, 64)),
        ("name too long", Raw::header(1, 0).text(&"n".repeat(65)).u32(1).u64(1).u32(0).u64(0).raw(&[0; 64]).0),
        ("same name twice", {
            let raw = Raw::header(2, 0).text("a").u32(1).u64(1).u32(0).u64(0);
            raw.text("a").u32(1).u64(1).u32(0).u64(32).align().raw(&[0; 64]).0
        }),
        ("side by side", two(0, 64)),
        ("overlapping", two(0, 32)),
        ("the same place", two(64, 64)),
    ];
    let lines: Vec<_> = cases.iter().map(|(name, bytes)| format!("{name}: {}", refusal(bytes))).collect();
    expect![[r#"
        good: accepted
        no dimensions: not a usable GGUF file: the tensor `a` has not 1 to 4 dimensions (at byte 37); fetch the file again and check its digest
        five dimensions: not a usable GGUF file: the tensor `a` has not 1 to 4 dimensions (at byte 37); fetch the file again and check its digest
        huge rank: not a usable GGUF file: the tensor `a` has not 1 to 4 dimensions (at byte 37); fetch the file again and check its digest
        dimension of zero: not a usable GGUF file: the tensor `a` has an impossible dimension (at byte 45); fetch the file again and check its digest
        product overflows: not a usable GGUF file: the tensor `a` is larger than any file (at byte 65); fetch the file again and check its digest
        bytes overflow: not a usable GGUF file: the tensor `a` is larger than any file (at byte 65); fetch the file again and check its digest
        unknown form: number form 4 of the tensor `a` is not supported; what is: GGUF 2 and 3 and safetensors, the llama, mistral, mixtral, qwen2, qwen3, gemma, phi and smollm3 families, weights from Q2_K to F32
        half a block: not a usable GGUF file: the rows of the tensor `a` have 16 numbers, not a multiple of 32 (at byte 57); fetch the file again and check its digest
        offset off the alignment: not a usable GGUF file: the tensor `a` starts off the alignment (at byte 65); fetch the file again and check its digest
        offset overflows: not a usable GGUF file: the tensor `a` ends 18446744073709551608 bytes into the data, behind the end of the file of 160 bytes (at byte 65); fetch the file again and check its digest
        one byte short: not a usable GGUF file: the tensor `a` ends 24 bytes into the data, behind the end of the file of 119 bytes (at byte 65); fetch the file again and check its digest
        behind the end: not a usable GGUF file: the tensor `a` ends 1099511627800 bytes into the data, behind the end of the file of 160 bytes (at byte 65); fetch the file again and check its digest
        name too long: not a usable GGUF file: 65 bytes of a tensor name are announced and at most 64 can be there (at byte 32); fetch the file again and check its digest
        same name twice: not a usable GGUF file: the tensor `a` stands there twice (at byte 90); fetch the file again and check its digest
        side by side: accepted
        overlapping: not a usable GGUF file: the tensors `a` and `b` overlap (at byte 128); fetch the file again and check its digest
        the same place: not a usable GGUF file: the tensors `a` and `b` overlap (at byte 160); fetch the file again and check its digest"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let absent = baton_decoder::ModelFile::open(&folder.path().join("absent")).unwrap_err();
    let folder = baton_decoder::ModelFile::open(folder.path()).unwrap_err();
    assert!(matches!(absent, Error::Open { .. }), "{absent}");
    assert!(matches!(folder, Error::Open { .. }), "{folder}");
}

#[test]
fn the_tokenizer_is_read_and_checked() {
    let tokenizer = |change: &dyn Fn(&mut Writer)| {
        let mut file = tiny::model("llama");
        change(&mut file);
        open(&file.bytes()).unwrap().tokenizer()
    };
    let good = tokenizer(&|_| ()).unwrap();
    assert_eq!((good.model.as_str(), good.pre.as_deref()), ("gpt2", Some("smollm")));
    assert_eq!((good.tokens.len(), good.tokens[3].as_str()), (tiny::VOCABULARY, "t3"));
    assert_eq!(good.merges, ["t 1", "t 2"]);
    assert_eq!((good.token_types.unwrap()[0], good.scores.unwrap()[0]), (1, -1.5));
    assert_eq!((good.bos, good.eos, good.eot, good.unknown), (Some(1), Some(2), None, None));
    assert_eq!((good.add_bos, good.add_eos, good.add_space_prefix), (Some(false), None, None));
    assert_eq!(good.chat_template.as_deref(), Some("{{ messages }}"));

    let bad: [(&str, Option<Entry>); 9] = [
        ("model", None),
        ("tokens", None),
        ("tokens", Some(Entry::Texts(vec![]))),
        ("tokens", Some(Entry::I32s(vec![1]))),
        ("token_type", Some(Entry::I32s(vec![1, 2]))),
        ("token_type", Some(Entry::F32s(vec![1.0; tiny::VOCABULARY]))),
        ("scores", Some(Entry::I32s(vec![1; tiny::VOCABULARY]))),
        ("bos_token_id", Some(Entry::U32(tiny::VOCABULARY as u32))),
        ("add_bos_token", Some(Entry::U32(1))),
    ];
    let lines = bad.map(|(name, value)| {
        let key = format!("tokenizer.ggml.{name}");
        let result = tokenizer(&|file| {
            file.without(&key);
            if let Some(value) = &value {
                file.entry(&key, value.clone());
            }
        });
        result.unwrap_err().to_string()
    });
    expect![[r#"
        the model file has no tokenizer (`tokenizer.ggml.model`); it may be damaged or made by an unfinished conversion
        the model file has no tokenizer (`tokenizer.ggml.tokens`); it may be damaged or made by an unfinished conversion
        the model file has no tokenizer (`tokenizer.ggml.tokens`); it may be damaged or made by an unfinished conversion
        the model file is inconsistent: `tokenizer.ggml.tokens` should be an array of strings, but is an array of 1 numbers
        the model file is inconsistent: `tokenizer.ggml.token_type` has 2 numbers for 96 tokens
        the model file is inconsistent: `tokenizer.ggml.token_type` holds a number of another type
        the model file is inconsistent: `tokenizer.ggml.scores` holds a number of another type
        the model file is inconsistent: `tokenizer.ggml.bos_token_id` is 96, but there are 96 tokens
        the model file is inconsistent: `tokenizer.ggml.add_bos_token` should be true or false, but is 1"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn the_digest_is_that_of_the_whole_file() {
    let bytes = tiny::model("llama").bytes();
    let file = open(&bytes).unwrap();
    let mut reports = vec![];
    let digest = file.digest(&mut |done, total| reports.push((done, total)));
    assert_eq!(digest, *blake3::hash(&bytes).as_bytes());
    assert_eq!(reports, [(bytes.len(), bytes.len())]);
}
