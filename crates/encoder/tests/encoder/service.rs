//! The service with an encoder that tells what it was given.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use baton_contract::TokenId;
use baton_encoder::{EmbedError, Encode, EncoderHandle};

use crate::tiny;

/// Gives each text its number of tokens; waits for leave before each batch.
struct Told {
    leave: Receiver<()>,
    batches: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Encode for Told {
    fn encode(&mut self, texts: &[&[TokenId]]) -> Result<Vec<Vec<f32>>, String> {
        self.leave.recv().map_err(|_| "the test is over".to_owned())?;
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        self.batches.lock().unwrap().push(lengths.clone());
        if lengths.contains(&13) {
            return Err("an unlucky text".to_owned());
        }
        assert!(!lengths.contains(&14), "a fault");
        Ok(lengths.iter().map(|length| vec![f32::from(u16::try_from(*length).unwrap())]).collect())
    }
}

struct Scene {
    handle: EncoderHandle,
    leave: Sender<()>,
    batches: Arc<Mutex<Vec<Vec<usize>>>>,
}

fn scene() -> Scene {
    let folder = tiny::folder();
    let (_, card) = tiny::open(folder.path()).unwrap();
    let (leave, allowed) = channel();
    let batches = Arc::<Mutex<Vec<Vec<usize>>>>::default();
    let encoder = Told { leave: allowed, batches: Arc::clone(&batches) };
    Scene { handle: EncoderHandle::start(card, Box::new(encoder)).unwrap(), leave, batches }
}

fn texts(lengths: &[usize]) -> Vec<Vec<TokenId>> {
    lengths.iter().map(|length| vec![4; *length]).collect()
}

/// Asks on a thread of its own; returns once the texts wait.
fn ask(scene: &Scene, lengths: &[usize]) -> thread::JoinHandle<Result<Vec<Vec<f32>>, EmbedError>> {
    let (handle, texts) = (scene.handle.clone(), texts(lengths));
    let before = handle.waiting();
    let asked = thread::spawn(move || handle.embed_blocking(texts));
    while scene.handle.waiting() == before {
        thread::yield_now();
    }
    asked
}

#[test]
fn vectors_come_in_the_order_of_their_texts() {
    let scene = scene();
    let first = ask(&scene, &[1]);
    let long = ask(&scene, &[400, 401, 402, 403]);
    let short = ask(&scene, &[5, 6]);
    for _ in 0..8 {
        scene.leave.send(()).unwrap();
    }
    assert_eq!(first.join().unwrap().unwrap(), [[1.0]]);
    assert_eq!(short.join().unwrap().unwrap(), [[5.0], [6.0]]);
    assert_eq!(long.join().unwrap().unwrap(), [[400.0], [401.0], [402.0], [403.0]]);
    let batches = scene.batches.lock().unwrap().clone();
    assert!(batches.iter().all(|batch| batch.iter().sum::<usize>() <= 1024), "{batches:?}");
    assert_eq!(scene.handle.waiting(), 0);
}

#[test]
fn a_fault_is_the_fault_of_its_batch_alone() {
    let scene = scene();
    for _ in 0..4 {
        scene.leave.send(()).unwrap();
    }
    for unlucky in [13, 14] {
        let said = scene.handle.embed_blocking(texts(&[2, unlucky])).unwrap_err();
        assert!(matches!(said, EmbedError::Failed(_)), "{said}");
    }
    assert_eq!(scene.handle.embed_blocking(texts(&[3])).unwrap(), [[3.0]]);
    assert_eq!(scene.handle.embed_blocking(Vec::new()).unwrap(), Vec::<Vec<f32>>::new());
    assert_eq!(scene.handle.waiting(), 0);
}

#[test]
fn too_much_at_once_is_refused() {
    let scene = scene();
    let first = ask(&scene, &[1]);
    let refused = scene.handle.embed_blocking(texts(&[2 << 20])).unwrap_err();
    assert_eq!(refused, EmbedError::Busy { waiting: 1, asked: 2 << 20 });
    scene.leave.send(()).unwrap();
    first.join().unwrap().unwrap();
    // By itself it is taken.
    scene.leave.send(()).unwrap();
    assert_eq!(scene.handle.embed_blocking(texts(&[2 << 10])).unwrap(), [[2048.0]]);
}
