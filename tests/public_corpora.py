"""Small trees of public corpora, as their documentation has them; nobody's voice is in them.

Each maker writes a corpus into a folder, audio as empty files, and gives the folder that a user would name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxtrait.corpora import Import, import_corpora


def put(path: Path, text: str | bytes = b"") -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def librispeech(folder: Path) -> Path:
    root = folder / "LibriSpeech"
    put(
        root / "SPEAKERS.TXT",
        "; Some pipe(|) separated metadata\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
        "19   | F | train-clean-100  | 25.19 | Kara Shallenberg\n"
        "60   | M | train-clean-100  | 20.18 | |CBW|Simon\n"
        "84   | F | dev-clean        | 8.02  | Christie Nowak\n"
        "61   | M | test-other       | 8.08  | Paul-Gabriel Wiener\n",
    )
    put(
        root / "CHAPTERS.TXT",
        ";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE\n"
        "198    | 19   | 12.91 | train-clean-100  | 40   | 121   | Chapter 1 | Northanger Abbey\n",
    )
    put(root / "BOOKS.TXT", "121 | Northanger Abbey | Jane Austen\n")
    for subset, names in {
        "train-clean-100": ("19-198-0000", "19-198-0001", "60-121082-0000"),
        "dev-clean": ("84-121123-0000",),
        "test-other": ("61-70968-0000", "999-1-0000"),
    }.items():
        for name in names:
            speaker, chapter, _ = name.split("-")
            put(root / subset / speaker / chapter / f"{name}.flac")
            transcript = root / subset / speaker / chapter / f"{speaker}-{chapter}.trans.txt"
            said = transcript.read_text() if transcript.is_file() else ""
            put(transcript, f"{said}{name} CHAPTER ONE\n")
    return root


def speech_accent_archive(folder: Path) -> Path:
    root = folder / "speech-accent-archive"
    put(
        root / "speakers_all.csv",
        "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,\n"
        '24,12,"koussi, senegal",balanta,balanta,male,788,senegal,TRUE,,,\n'
        '27,9,"virginia, south africa",afrikaans1,afrikaans,female,1,south africa,FALSE,,,\n'
        '40,5,"pretoria, south africa",afrikaans2,afrikaans,famale,2,south africa,FALSE,,,\n'
        '0,5,"cairo, egypt",arabic1,arabic,male,10,egypt,FALSE,,,\n'
        "broken,line\n",
    )
    put(root / "reading-passage.txt", "Please call Stella.\r\nAsk her to bring these things\r\n")
    for name in ("afrikaans1", "afrikaans2", "arabic1", "zulu9"):
        put(root / "recordings" / "recordings" / f"{name}.mp3")
    return root


def audiomnist(folder: Path) -> Path:
    root = folder / "AudioMNIST" / "data"
    people = [
        '"01": {"accent": "german", "age": 30, "gender": "male", "native speaker": "no", "recordingroom": "Kino"}',
        '"12": {"accent": "German", "age": "26", "gender": "female", "native speaker": "no", "recordingroom": "Kino"}',
        '"45": {"accent": "German", "age": "1234", "gender": "male", "native speaker": "no", "recordingroom": "vr"}',
        '"58": {"accent": "German", "age": "29", "gender": "female", "native speaker": "no", "recordingroom": "vr"}',
    ]
    put(root / "audioMNIST_meta.txt", "{\n" + ", \n".join(people) + "\n}\n")
    for speaker in ("01", "12", "45", "58", "17"):
        put(root / speaker / f"7_{speaker}_0.wav")
        put(root / speaker / f"0_{speaker}_49.wav")
    return root.parent


def crema_d(folder: Path) -> Path:
    root = folder / "CREMA-D"
    put(
        root / "VideoDemographics.csv",
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","Caucasian","Not Hispanic"\n'
        '1076,25,"Female","Caucasian","Not Hispanic"\n',
    )
    put(
        root / "SentenceFilenames.csv",
        '"Stimulus_Number","Filename"\n1,"1001_IEO_NEU_XX"\n2,"1001_IEO_HAP_LO"\n3,"1076_MTI_SAD_XX"\n',
    )
    for name in ("1001_IEO_NEU_XX", "1076_MTI_SAD_XX", "1099_TIE_ANG_XX"):
        put(root / "AudioWAV" / f"{name}.wav")
    for name in ("1001_IEO_NEU_XX", "1001_DFA_FEA_HI"):
        put(root / "AudioMP3" / f"{name}.mp3")
    return root


def voxceleb(folder: Path) -> Path:
    root = folder / "voxceleb"
    put(
        root / "vox1_meta.csv",
        "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
        "id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tUSA\ttest\n",
    )
    put(
        root / "vox2_meta.csv",
        "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,f ,test \n",
    )
    put(
        root / "final_dataframe_extended.csv",
        "Name,gender_wiki,video_id,title,description,VoxCeleb_ID,gender,birth_year,recording_year,speaker_age\n"
        '"A.J. Buckley",male,1zcIwhmdeo4,"On set","Two\nlines, of ""text""",id10001,male,1978.0,2013.0,35.0\n'
        "Someone,female,aaaaaaaaaaa,T,D,id00012,female,1990.0,,\n",
    )
    put(root / "age-train.txt", "speaker_age,birth_year,Name,VoxCeleb_ID,video_id\n35.0,1978.0,A,id10001,1zcIwhmdeo4\n")
    put(root / "age-test.txt", "speaker_age,birth_year,Name,VoxCeleb_ID,video_id\n67.0,1946.0,E,id10270,5r0dWxy17C8\n")
    put(root / "gender-train_set.txt", '["id00012", "id10001"]')
    put(root / "gender-test_set.txt", '["id00017"]')
    put(root / "utt2age.test", "id00012/21Uxsk56VDQ/00001 70\nid00099/nowhere/00001 40\n")
    put(root / "vox1_dev_wav" / "wav" / "id10001" / "1zcIwhmdeo4" / "00001.wav")
    put(root / "vox1_test_wav" / "wav" / "id10270" / "5r0dWxy17C8" / "00001.wav")
    put(root / "vox2" / "dev" / "aac" / "id00012" / "21Uxsk56VDQ" / "00001.m4a")
    put(root / "vox2" / "dev" / "aac" / "id00012" / "21Uxsk56VDQ" / "00002.m4a")
    put(root / "vox2" / "test" / "aac" / "id00017" / "01dfn2spqyE" / "00001.m4a")
    put(root / "trailer.wav")
    return root


SPKRINFO = (
    ";  ID  Sex DR Use  RecDate   BirthDate  Ht    Race Edu  Comments\n"
    "CJF0  F  1  TRN  02/05/86  04/11/59  5'4\"  WHT  BS\n"
    "DAB0  M  1  TST  01/08/87  ??/??/51  6'0\"  WHT  HS  a comment here\n"
    "XYZ0  M  1  TST  01/08/87  ??  5'9\"  ???  ??\n"
)


def timit(folder: Path) -> Path:
    root = folder / "TIMIT"
    put(root / "DOC" / "SPKRINFO.TXT", SPKRINFO)
    put(root / "DOC" / "PROMPTS.TXT", "; prompts\nShe had your dark suit in greasy wash water all year. (sa1)\n")
    for place in ("TRAIN/DR1/FCJF0", "TEST/DR1/MDAB0", "TEST/DR1/MXYZ0"):
        put(root / place / "SA1.WAV")
        put(root / place / "SA1.TXT", "0 46797 She had your dark suit in greasy wash water all year.\n")
        put(root / place / "SA1.PHN", "0 3050 h#\n")
    put(root / "TRAIN" / "DR1" / "FCJF0" / "SX37.WAV")
    put(root / "TRAIN" / "DR1" / "FCJF0" / "SX37.TXT", "0 1234 Critical equipment needs proper maintenance.\n")
    put(root / "TRAIN" / "DR1" / "FCJF0" / "SI648.TXT", "0 99 A sailboat may have a bone in her teeth.\n")
    return root


def vctk(folder: Path) -> Path:
    root = folder / "VCTK-Corpus-0.92"
    put(
        root / "speaker-info.txt",
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \n"
        "p225  23  F    English    Southern  England\n"
        "p280  25  F    Unknown    France  (mic2 files unavailable)\n"
        "p315  18  M    American    New  England  (Text and mic2 files unavailable)\n"
        "p362  29  F    American \n",
    )
    audio = root / "wav48_silence_trimmed"
    for name in ("p225_001_mic1", "p225_001_mic2", "p225_002_mic2", "p280_001_mic1", "p315_001_mic1"):
        put(audio / name[:4] / f"{name}.flac")
    for name in ("p225_001", "p225_002", "p280_001", "p362_003"):
        put(root / "txt" / name[:4] / f"{name}.txt", "Please call Stella.\n")
    return root


def agender(folder: Path) -> Path:
    root = folder / "agender_distribution"
    put(
        root / "trainSampleList_train.txt",
        "wav_traindevel/1001/2/a11001s10.raw 1001 2 27 m AM\nwav_traindevel/1002/1/a11002s3.raw 1002 1 11 x C\n"
        "wav_traindevel/1004/1/a11004s1.raw 1004 1 61 w SF\na line\n",
    )
    put(root / "trainSampleList_devel.txt", "wav_traindevel/1003/1/a11003s1.raw 1003 1 19 f YF\n")
    put(root / "wav_traindevel" / "1001" / "2" / "a11001s10.raw")
    put(root / "wav_traindevel" / "1001" / "2" / "a11001s10.wav")
    put(root / "wav_traindevel" / "1002" / "1" / "a11002s3.raw")
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    "LibriSpeech": librispeech,
    "Speech Accent Archive": speech_accent_archive,
    "AudioMNIST": audiomnist,
    "CREMA-D": crema_d,
    "VoxCeleb": voxceleb,
    "TIMIT": timit,
    "VCTK": vctk,
    "aGender list": agender,
}
"""Name of the layout → what makes a small tree of it."""


def read(*folders: Path, **options: Any) -> Import:
    """Import without a look at the audio."""
    return import_corpora(folders, tables_only=True, **options)


def rows(result: Import) -> dict[str, dict[str, Any]]:
    """The manifest's rows by what follows corpus, release and locale."""
    return {row["clip_id"].split("/", 3)[3]: row for row in result.table.to_dicts()}


def values(result: Import, *columns: str) -> dict[str, tuple[Any, ...]]:
    """Some columns of these rows."""
    return {stem: tuple(row[name] for name in columns) for stem, row in rows(result).items()}
